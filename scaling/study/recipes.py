"""Recipes: the numbers of a training, each with its source. Hardware never changes one.

`recipe_for` is the whole rule: the kind's entry, then the task's, the family's, the protocol's,
then what the study file says. A recipe has no size in it. XTREME's scripts give XLM-R Large another
learning rate than Base in two tasks, and for XL and XXL nothing is published: a rate that differs
by size, or is tuned at some sizes only, would be in the curve. The rule is one rate for all;
`learning_rates` in a study file checks it with equal budgets (scaling/planning/rates.py).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from scaling.catalogue.architecture_entries import XLM_ROBERTA
from scaling.catalogue.architectures import Architecture
from scaling.catalogue.task import TaskSpec
from scaling.spec import Spec, UserError
from scaling.study.family_recipes import family_entry
from scaling.study.lora import Method


class Recipe(Spec):
    """The numbers of a training or a scoring. Equal at all sizes."""

    epochs: float = Field(default=3.0, gt=0, le=10_000)
    batch: int = Field(default=32, gt=0, le=65_536)
    """Examples per update over all workers and accumulation steps: the global batch."""
    learning_rate: float = Field(default=2e-5, gt=0, le=1)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the updates with a linearly rising rate; then it falls linearly to zero."""
    warmup_updates: int = Field(default=0, ge=0, le=10_000_000)
    """If not 0: so many updates with a rising rate, in the place of the share. May be more than
    there are.
    """
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    """On matrices only: biases and norms are never decayed."""
    max_length: int = Field(default=128, ge=8, le=8_192)
    """Tokens per sequence, special tokens included."""
    grad_clip: float = Field(default=1.0, gt=0, le=1e6)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16 computes in bf16 with fp32 master weights. Equal at all sizes of a study, or it would be
    the effect.
    """
    pooling: Literal["first", "mean", "last"] = "first"
    """Classification and choices: what stands for the text. `first` is XLM-R's own <s>; `mean` is
    for encoders without one or tuned that way; `last` for those that see to the left only.
    """
    pool_depth: float = Field(default=0.6, gt=0, le=1)
    """Retrieval: mean-pool the hidden states at this fraction of the layers. An index would not
    follow scale.
    """
    prefix: str = ""
    """Text put before every input, for encoders that were trained with one."""
    select_every: int = Field(default=0, ge=0)
    """Updates between looks at the task's English dev data, and one after the last: the best of the
    weights that were looked at are the result. 0, or a task without dev data: the last weights.
    """
    select_examples: int = Field(default=0, ge=0)
    """The first so many dev examples are looked at; 0 for all, as always in retrieval."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: object) -> object:
        if value in ("fp16", "float16", "half"):
            raise UserError(
                f"{value!r}: fp16 overflows above 65,504 and one precision serves all sizes; use"
                " bf16"
            )
        return value


Protocol = Literal["ours", "xtreme", "phang2020"]

# What a recipe is made of, in the order in which later wins: (fields, source). Every number of a
# study has one.
_Entry = tuple[dict[str, Any], str]
_SCRIPTS = "google-research/xtreme@838c13b, scripts/"
_JIANT = "jiant's XTREME scripts (guides/projects/xstilts.md), by the authors of Phang et al. 2020"
_APPENDIX = "Phang et al. 2020, appendix: epochs and batch by memory, not verified"
_DEFAULTS = (
    "global batch 32: XTREME's scripts everywhere; warm-up 10 %: jiant, throughout, so that no size"
    " goes without; the rest: transformers' Trainer"
)

_BY_KIND: dict[str, _Entry] = {
    "classification": (
        {"epochs": 5.0, "learning_rate": 2e-5, "max_length": 128},
        f"{_SCRIPTS}train_xnli.sh, whose 3e-5 for Large alone is not used: one rate for all sizes",
    ),
    "multiple_choice": (
        {"epochs": 5.0, "learning_rate": 2e-5, "max_length": 128},
        f"{_SCRIPTS}train_xcopa.sh, whose 3e-5 for Large alone is not used: one rate for all sizes",
    ),
    "tagging": (
        {"epochs": 10.0, "learning_rate": 2e-5, "max_length": 128},
        f"{_SCRIPTS}train_udpos.sh, train_panx.sh",
    ),
    "span_qa": (
        {"epochs": 3.0, "learning_rate": 3e-5, "max_length": 384, "weight_decay": 1e-4},
        f"{_SCRIPTS}train_qa.sh",
    ),
    "retrieval": (
        {"epochs": 3.0, "learning_rate": 2e-5, "max_length": 352},
        f"{_SCRIPTS}train_lareqa.sh",
    ),
    "masked_lm": (
        {"epochs": 1.0, "learning_rate": 2e-5, "max_length": 256},
        "this project's choice",
    ),
}

_BY_TASK: dict[str, _Entry] = {
    "mewslix": (
        {"epochs": 2.0, "learning_rate": 1e-5, "max_length": 64},
        f"{_SCRIPTS}train_mewslix.sh for Large; the batch is part of the task (in-batch negatives)",
    ),
    "sib200": (
        {"epochs": 20.0, "learning_rate": 1e-5, "max_length": 164},
        "dadelani/sib-200@593cea8, code/xlmr_zero.sh: batch 16, twice accumulated",
    ),
    "squad1_pairs": (
        {"batch": 16},
        f"{_SCRIPTS}train_lareqa.sh",
    ),
    "tatoeba": (
        {"max_length": 512, "pool_depth": 14 / 24},
        f"{_SCRIPTS}run_tatoeba.sh: layer 14 of 24 for Large, as a fraction for every size",
    ),
}

# What the scripts do and `ours` does not. Their 3e-5 for XLM-R Large alone is followed by neither.
_XTREME_BY_KIND: dict[str, _Entry] = {
    "span_qa": ({"warmup": 0.0, "warmup_updates": 500}, f"{_SCRIPTS}train_qa.sh:71"),
    "masked_lm": ({}, ""),
}
_XTREME_COMMON: _Entry = (
    {"warmup": 0.0},
    "google-research/xtreme@838c13b: no warm-up in any script but train_qa.sh",
)
_BEST = "the best on English dev is kept"
_XTREME: dict[str, _Entry] = {
    # As many examples as XNLI's English dev has, which the script looks at.
    "mnli": (
        {"select_every": 100, "select_examples": 2490},
        f"{_SCRIPTS}train_xnli.sh:67, 71: {_BEST}",
    ),
    "pawsx": ({"select_every": 200}, f"{_SCRIPTS}train_pawsx.sh:62, 73: {_BEST}"),
    "udpos": ({"select_every": 500}, f"{_SCRIPTS}train_udpos.sh:60, 72: {_BEST}"),
    "udpos_v25": ({"select_every": 500}, f"{_SCRIPTS}train_udpos.sh:60, 72: {_BEST}"),
    "panx": ({"select_every": 1000}, f"{_SCRIPTS}train_panx.sh:61, 73: {_BEST}"),
    "panx_xtreme": ({"select_every": 1000}, f"{_SCRIPTS}train_panx.sh:61, 73: {_BEST}"),
    "squad1_pairs": (
        {"select_every": 1000},
        f"{_SCRIPTS}train_lareqa.sh:64, run_eval_lareqa.sh:24: {_BEST}",
    ),
}

# A task has one recipe in both phases. For MNLI and SQuAD 1.1, which train in both, it is that of
# phase iii: it can be read in public, that of phase ii (batch 24 and 8) cannot. An arm's own
# `recipe` sets phase ii apart.
_PHANG_COMMON: _Entry = (
    {
        "learning_rate": 1e-5,
        "max_length": 256,
        "weight_decay": 0.01,
        "select_every": 1000,
        "select_examples": 500,
    },
    f"{_JIANT}; weight decay: jiant/shared/model_setup.py:85 of nyu-mll/jiant@daa5a258",
)
_PHANG: dict[str, _Entry] = {
    "mnli": ({"epochs": 2.0}, _JIANT),
    "pawsx": ({"epochs": 5.0}, _JIANT),
    "udpos": ({"epochs": 10.0}, _JIANT),
    "udpos_v25": ({"epochs": 10.0}, _JIANT),
    "panx": ({"epochs": 10.0}, _JIANT),
    "panx_xtreme": ({"epochs": 10.0}, _JIANT),
    "squad1": ({"epochs": 2.0, "batch": 16, "max_length": 384}, _JIANT),
    "tydiqa": ({"epochs": 2.0, "batch": 16, "max_length": 384}, _JIANT),
    "bucc2018": ({"max_length": 512, "pool_depth": 14 / 24}, f"{_JIANT}: hidden state 14 of 24"),
    "tatoeba": ({"max_length": 512, "pool_depth": 14 / 24}, f"{_JIANT}: hidden state 14 of 24"),
    "tatoeba_xtreme": (
        {"max_length": 512, "pool_depth": 14 / 24},
        f"{_JIANT}: hidden state 14 of 24",
    ),
    "anli_plus": ({"epochs": 2.0, "batch": 24}, _APPENDIX),
    "ccg": ({"epochs": 15.0, "batch": 24}, _APPENDIX),
    "commonsenseqa": ({"epochs": 10.0, "batch": 4}, _APPENDIX),
    "cosmosqa": ({"epochs": 15.0, "batch": 4}, _APPENDIX),
    "hellaswag": ({"epochs": 7.0, "batch": 24}, _APPENDIX),
    "qqp": ({"epochs": 3.0, "batch": 24}, _APPENDIX),
    "squad2": ({"epochs": 3.0, "batch": 8, "max_length": 384}, _APPENDIX),
}


def _entries(
    task: TaskSpec,
    defaults: dict[str, Any],
    overrides: dict[str, Any],
    protocol: Protocol,
    architecture: Architecture,
    family: str,
    method: Method,
) -> list[_Entry]:
    # A dual encoder trains all of its layers, so its vectors are the last one's.
    trained = {"pool_depth": 1.0} if task.kind == "retrieval" and task.trains_on else {}
    own: _Entry = ({}, "")
    by_protocol = {
        "ours": [],
        "xtreme": [
            _XTREME_BY_KIND.get(task.kind, _XTREME_COMMON),
            _XTREME.get(task.name, own),
        ],
        "phang2020": [_PHANG_COMMON, _PHANG.get(task.name, own)],
    }[protocol]
    return [
        _BY_KIND[task.kind],
        (trained, "what is trained is the last layer"),
        _BY_TASK.get(task.name, ({}, "")),
        _pooling(architecture),
        family_entry(family, method, task.kind, task.name),
        *by_protocol,
        (defaults, "the study file, default"),
        (overrides, "the study file"),
    ]


def _pooling(architecture: Architecture) -> _Entry:
    """What stands for a text, where that is not the first token, as in all published recipes."""
    if architecture.pooling == "first":
        return {}, ""
    return (
        {"pooling": architecture.pooling},
        f"this project's choice for {architecture.name}, whose first token stands for no text",
    )


def recipe_for(
    task: TaskSpec,
    defaults: dict[str, Any],
    overrides: dict[str, Any],
    protocol: Protocol = "ours",
    architecture: Architecture = XLM_ROBERTA,
    family: str = "xlm-r",
    method: Method = "full",
) -> Recipe:
    """The recipe of a task: what `_entries` lists, where the later wins.

    Args:
        task: its kind and its name choose the published numbers.
        defaults: the study's fields for all tasks.
        overrides: the study's fields for this task.
        protocol: whose published numbers come first.
        architecture: whose pooling it is.
        family: whose starting numbers they are.
        method: full training or LoRA, which have rates of their own.
    """
    fields: dict[str, Any] = {}
    for entry, _ in _entries(task, defaults, overrides, protocol, architecture, family, method):
        fields |= entry
    return Recipe(**fields)


def recipe_sources(
    task: TaskSpec,
    defaults: dict[str, Any],
    overrides: dict[str, Any],
    protocol: Protocol = "ours",
    architecture: Architecture = XLM_ROBERTA,
    family: str = "xlm-r",
    method: Method = "full",
) -> dict[str, str]:
    """Field → where its number comes from, for every field of `recipe_for`'s recipe.

    Args:
        task: its kind and its name choose the published numbers.
        defaults: the study's fields for all tasks.
        overrides: the study's fields for this task.
        protocol: whose published numbers come first.
        architecture: whose pooling it is.
        family: whose starting numbers they are.
        method: full training or LoRA, which have rates of their own.
    """
    sources = dict.fromkeys(Recipe.model_fields, _DEFAULTS)
    for entry, source in _entries(
        task, defaults, overrides, protocol, architecture, family, method
    ):
        sources |= dict.fromkeys(entry, source)
    return sources
