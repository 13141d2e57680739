"""Recipes: the numbers of a training, each with its source. Hardware never changes one.

`recipe_for` is the whole rule: the kind's entry, then the task's, then what the study file says. Learning rates
for XL and XXL are published nowhere; the same value at every size is the stated default, since a rate tuned at
some sizes only would put the tuning into the curve.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from scaling.spec import Spec
from scaling.tasks import TaskSpec


class Recipe(Spec):
    epochs: float = Field(default=3.0, gt=0)
    batch: int = Field(default=32, gt=0)
    """Examples per update over all workers and accumulation steps: the global batch."""
    learning_rate: float = Field(default=2e-5, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the updates with a linearly rising rate; then it falls linearly to zero."""
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices only: biases and layer norms are never decayed."""
    max_length: int = Field(default=128, gt=2)
    """Tokens per sequence, special tokens included."""
    grad_clip: float = Field(default=1.0, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    precision: Literal["bf16", "fp32"] = "bf16"
    """bf16 computes in bf16 with fp32 master weights. Equal at all sizes of a study, or it would be the effect."""
    pooling: Literal["first", "mean"] = "first"
    """Classification: what stands for the text. `first` is XLM-R's own <s>; `mean` suits encoders tuned that way."""
    pool_depth: float = Field(default=0.6, gt=0, le=1)
    """Retrieval: mean-pool the hidden states at this fraction of the layers. An index would not follow scale."""
    prefix: str = ""
    """Text put before every input, for encoders that were trained with one."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: object) -> object:
        if value in ("fp16", "float16", "half"):
            raise ValueError(f"{value!r}: fp16 overflows above 65,504 and one precision serves all sizes; use bf16")
        return value


# Source: the XTREME / XTREME-R scripts (google-research/xtreme@838c13b): global batch 32 everywhere, warm-up only
# in QA. Warm-up 10 % is jiant's (Phang et al. 2020) and is used throughout, so that no size goes without.
_BY_KIND: dict[str, dict[str, Any]] = {
    "classification": {"epochs": 5.0, "learning_rate": 2e-5, "max_length": 128},
    "multiple_choice": {"epochs": 5.0, "learning_rate": 2e-5, "max_length": 128},
    "tagging": {"epochs": 10.0, "learning_rate": 2e-5, "max_length": 128},
    "span_qa": {"epochs": 3.0, "learning_rate": 3e-5, "max_length": 384, "weight_decay": 1e-4},
    "retrieval": {"epochs": 3.0, "learning_rate": 2e-5, "max_length": 352},
    "masked_lm": {"epochs": 1.0, "learning_rate": 2e-5, "max_length": 256},
}

_BY_TASK: dict[str, dict[str, Any]] = {
    # train_mewslix.sh: 1e-5 and batch 32 for XLM-R Large; the batch is part of the task (in-batch negatives).
    "mewslix": {"epochs": 2.0, "learning_rate": 1e-5, "max_length": 64},
    # train_lareqa.sh: batch 16, questions 96 and answers 256 tokens.
    "squad1_pairs": {"batch": 16},
    # run_tatoeba.sh: mean pooling, 512 tokens; layer 14 of 24 for Large, here as a fraction for every size.
    "tatoeba": {"max_length": 512, "pool_depth": 14 / 24},
}


def recipe_for(task: TaskSpec, defaults: dict[str, Any], overrides: dict[str, Any]) -> Recipe:
    """The recipe of a task: kind, task, the study's defaults for all, the study's entry for this task; later wins."""
    # A dual encoder trains all of its layers, so its vectors are the last one's.
    trained = {"pool_depth": 1.0} if task.kind == "retrieval" and task.trains_on else {}
    return Recipe(**{**_BY_KIND[task.kind], **trained, **_BY_TASK.get(task.name, {}), **defaults, **overrides})
