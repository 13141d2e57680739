"""Starting numbers of families other than XLM-R: what is known of them, and how well.

Every entry says whether its numbers are `published` with the models, read in `public code`, or
`assumed`. None is by size: one rate serves a family, and `learning_rates` checks it with equal
budgets. XLM-R has no entry: its published numbers are those of kinds, tasks and protocols.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scaling.study.lora import Method

Status = Literal["published", "public code", "assumed"]
"""How well a number is known; numbers by memory are assumed."""


@dataclass(frozen=True, kw_only=True)
class FamilyRecipe:
    """Fields of a recipe that a family starts from."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    by_kind: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    status: Status
    basis: str
    """Where the numbers come from, in words."""

    @property
    def source(self) -> str:
        """As `scaling recipes` prints it."""
        return f"{self.status}: {self.basis}"

    def of(self, kind: str, task: str) -> dict[str, Any]:
        """The fields of a task: the family's, those of the kind, those of the task."""
        return {**self.fields, **self.by_kind.get(kind, {}), **self.by_task.get(task, {})}


_T5 = FamilyRecipe(
    fields={"learning_rate": 1e-4, "dropout": 0.1},
    status="assumed",
    basis="T5 with AdamW is said to take 1e-4 to 3e-4 (by memory of transformers' T5 page); what is"
    " published is Adafactor at 1e-3, text to text; check 3e-5, 1e-4, 3e-4",
)

_ENCODER: dict[str, Any] = {
    "by_kind": {
        "classification": {"learning_rate": 2e-5},
        "tagging": {"learning_rate": 2e-5, "epochs": 10.0},
        "span_qa": {
            "learning_rate": 3e-5,
            "epochs": 3.0,
            "weight_decay": 1e-4,
            "max_length": 384,
        },
    },
    "by_task": {
        "pawsx": {"epochs": 2.0},
        "siqa": {"epochs": 5.0},
        "mewslix": {"learning_rate": 2e-5, "batch": 64, "epochs": 2.0},
    },
}
_NLU_EVALS = "izhx/nlu-evals@b8193ba, scripts/"

_DECODER: dict[Method, FamilyRecipe] = {
    "lora": FamilyRecipe(
        fields={"learning_rate": 1e-4, "dropout": 0.0},
        status="assumed",
        basis="a usual rate of LoRA on decoders, by memory; no dropout, as in pretraining",
    ),
    "full": FamilyRecipe(
        fields={"learning_rate": 1e-5, "dropout": 0.0},
        status="assumed",
        basis="a usual rate of decoders, by memory; no dropout, as in pretraining",
    ),
}

_BY_FAMILY: dict[str, Mapping[Method, FamilyRecipe]] = {
    "mt5": {"full": _T5, "lora": _T5},
    "umt5": {"full": _T5, "lora": _T5},
    "mmbert": {
        "full": FamilyRecipe(
            **_ENCODER,
            status="public code",
            basis=f"{_NLU_EVALS}, which mmBERT's authors forked",
        )
    },
    "eurobert": {
        "full": FamilyRecipe(
            **_ENCODER,
            status="assumed",
            basis=f"as other encoders in {_NLU_EVALS}; its authors swept 1e-5 to 1e-4 by task (by"
            " memory)",
        )
    },
    "qwen3": _DECODER,
    "qwen3-bidirectional": _DECODER,
    "gemma3": _DECODER,
    "qwen3-embedding": {
        "lora": FamilyRecipe(
            fields={"learning_rate": 2e-5, "dropout": 0.0},
            status="public code",
            basis="one run: ArkMaster123/grantpilot-embedding-v2 (rank 16, alpha 32)",
        ),
        "full": _DECODER["full"],
    },
}


def family_entry(family: str, method: Method, kind: str, task: str) -> tuple[dict[str, Any], str]:
    """The fields that a family gives a task, and their source; none where it has no entry.

    Args:
        family: Of the study's models.
        method: Full training or LoRA.
        kind: Of the task.
        task: Its name.
    """
    found = _BY_FAMILY.get(family, {}).get(method)
    return ({}, "") if found is None else (found.of(kind, task), found.source)
