"""How weights are trained: all of them, or adapters beside them.

An axis apart from scale, one for a whole study.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scaling.catalogue.architectures import Architecture
from scaling.spec import FieldError, Spec
from scaling.typos import did_you_mean

Method = Literal["full", "lora"]


class Lora(Spec):
    """Low-rank adapters (Hu et al. 2022, arXiv 2106.09685); heads are trained in full."""

    rank: int = Field(default=8, gt=0, le=65_536)
    alpha: int = Field(default=16, gt=0, le=65_536)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Ends of module names in every layer: `query`, `attention.output.dense`, … The queries and
    values of the study's architecture if absent.
    """

    @property
    def label(self) -> str:
        """What rows and reports call it."""
        return f"lora-r{self.rank}"

    def of(self, architecture: Architecture) -> Lora:
        """The same with its targets said: what enters a step's identity."""
        if self.targets is not None:
            return self
        return self.model_copy(update={"targets": architecture.lora})


def check_targets(lora: Lora, architecture: Architecture) -> None:
    """FieldError for a target that matches no module of an architecture's layers."""
    ends = sorted(architecture.target_ends)
    for at, target in enumerate(lora.targets or ()):
        if target not in ends:
            raise FieldError(
                ("lora", "targets", at),
                f"{target!r} matches no module of {architecture.name}."
                f" {did_you_mean(target, ends)}",
                target,
                ends,
            )
