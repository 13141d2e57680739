"""How weights are trained: all of them, or adapters beside them.

An axis apart from scale, one for a whole study.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scaling.spec import FieldError, Spec
from scaling.typos import did_you_mean

Method = Literal["full", "lora"]

# Linear modules of one layer, the same in both architectures; peft knows no defaults for
# xlm-roberta-xl.
MODULES = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


class Lora(Spec):
    """Low-rank adapters (Hu et al. 2022, arXiv 2106.09685); heads are trained in full."""

    rank: int = Field(default=8, gt=0, le=65_536)
    alpha: int = Field(default=16, gt=0, le=65_536)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(default=("query", "value"), min_length=1)
    """Ends of module names in every layer: `query`, `attention.output.dense`, …"""

    @property
    def label(self) -> str:
        """What rows and reports call it."""
        return f"lora-r{self.rank}"


def check_targets(lora: Lora) -> None:
    """FieldError for a target that matches no module of the encoders."""
    parts = [name.split(".") for name in MODULES]
    ends = {".".join(names[at:]) for names in parts for at in range(len(names))}
    for at, target in enumerate(lora.targets):
        if target not in ends:
            raise FieldError(
                ("lora", "targets", at),
                f"{target!r} matches no module. {did_you_mean(target, ends)}",
                target,
                ends,
            )
