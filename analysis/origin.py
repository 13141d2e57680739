"""Where a report's numbers come from: data, models, code, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scaling.study.terms import Terms


@dataclass(frozen=True, kw_only=True)
class SizeCost:
    """What the steps of one size, or of all, cost."""

    name: str
    steps: int
    devices: str
    """Names of the devices they ran on."""
    device_hours: float
    dollars: float | None
    """None where no price is known."""
    kwh: float | None
    """None where nothing counted it for all steps."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a reader needs in order to cite a study, and to run it again."""

    terms: Sequence[Terms]
    bibtex: Sequence[str]
    commits: Sequence[str]
    """Of the code that ran the steps."""
    first: str
    """UTC, ISO 8601: when the first and the last step ended."""
    last: str
    versions: Sequence[str]
    """`torch 2.9.0`, …; several of one package where steps ran with several."""
    costs: Sequence[SizeCost]
    """By size, then `all`."""

    @property
    def made_sentence(self) -> str:
        """When, at which commit and with which packages the steps ran."""
        commits = ", ".join(self.commits) or "unknown"
        return (
            f"Steps ended between {self.first} and {self.last}, run by commit {commits} with"
            f" {', '.join(self.versions)}."
        )
