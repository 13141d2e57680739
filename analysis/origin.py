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
    first: str
    """UTC, ISO 8601: when the first and the last step ended."""
    last: str
    made: str
    """With which packages and commits they ran, in a sentence; empty where nobody can say."""
    costs: Sequence[SizeCost]
    """By size, then `all`."""
