"""What one pass over a study found (analysis/analyse.py).

All that reports, tables and figures show.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analysis.claims import Checked
from analysis.cogain import CoGains
from analysis.crossover import Crossover
from analysis.estimands import (
    Estimate,
)
from analysis.influence import Variation
from analysis.items import Items
from analysis.panel import Panel
from analysis.power import Advice, Ledger
from analysis.shapes import ShapeTest
from analysis.shrink import Languages
from analysis.verdict import Verdict
from scaling.study.question import Question


@dataclass(frozen=True, kw_only=True)
class Power:
    """What this study could see, and what more it would need."""

    replica_sd: float
    sds: tuple[float, ...]
    """Between the replicas of each size, points."""
    detectable: float
    """Points per tenfold scale, power .8."""
    detectable_interval: tuple[float, float]
    """95 %: it is as uncertain as the noise that it is computed from."""
    seeds_to_detect_margin: int | None
    seeds_to_affirm: int | None
    advice: tuple[Advice, ...]
    x: tuple[float, ...]
    """log10 scale of the sizes that the primary estimate covers."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Fits of the pooled language curves; None where sizes are too few (`refused` says why)."""

    refused: str
    exponent: float | None
    exponent_low: float | None
    exponent_high: float | None
    identified: bool | None
    errors: dict[str, float]
    """Mean absolute error at the largest size when it is left out, points."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that was found about one family and method."""

    question: Question
    sizes: pl.DataFrame
    gains: pl.DataFrame
    scores: pl.DataFrame
    """Mean scores by target, arm and model (analysis/scores.py)."""
    coverage: pl.DataFrame
    missing: pl.DataFrame
    shared: pl.DataFrame
    labels: pl.DataFrame
    """Columns label, runs: of trained runs in pooled arms and baselines (analysis/collapse.py)."""
    collapse: pl.DataFrame
    collapse_trend: dict[str, float]
    panel: Panel
    """Primary gains in points."""
    population: str
    """What the verdict is about: `low-resource`, or `all zero-shot` where a study has no
    low-resource language.
    """
    num_series: int
    """Of the population, at any size."""
    curves: pl.DataFrame
    """The population's mean gain at each size and the families that were fitted to it."""
    estimates: dict[str, list[Estimate]]
    """By scale."""
    primary: Estimate
    logit: Estimate
    room: Estimate
    """On the scale of log odds between chance and ceiling."""
    margins: dict[str, float]
    """By scale: the slope that is the margin from end to end."""
    worst: tuple[float, float] | None
    """Bounds of the slope in points over what collapsed runs could have said; None without any."""
    influence: list[Variation]
    """What the slope is without one of its parts, the most influential first."""
    items: Items | None
    """What the outcomes of single examples say; None where none were given."""
    flips: float | None
    """The ceiling from which on the claim would not hold on the third scale; None where every
    target declares one, nothing is claimed, or no ceiling above the scores does it.
    """
    smallest: Estimate
    """The gain at the smallest size."""
    largest: Estimate
    end: Estimate
    """Largest minus smallest size."""
    retention: tuple[float, float, float]
    gammas: dict[str, Estimate]
    """The resource interaction by scale, and `sample`: points, languages as a sample; those that
    exist.
    """
    shapes: ShapeTest | None
    languages: pl.DataFrame
    fit: Languages
    doses: pl.DataFrame
    """Slopes over doses of one intermediate task, by size; empty where none has two."""
    pairs: pl.DataFrame
    means: pl.DataFrame
    specifications: pl.DataFrame
    path_correlation: float
    """Mean correlation between the errors of two specifications."""
    treatments: list[Estimate]
    ledger: Ledger
    icc: float
    power: Power
    curve: Curve
    series: pl.DataFrame
    verdict: Verdict
    claims: list[Checked]
    crossover: Crossover | None
    """What a point of gain costs; None where the price of phase ii is not known."""
    co_gains: CoGains | None
    """Which languages gain together; None where nothing repeats over seeds."""
    foresight: pl.DataFrame
    """Choices made at each size against those of the largest (analysis/foresight.py)."""

    @property
    def gamma(self) -> Estimate | None:
        """The resource interaction in points, of these languages."""
        return self.gammas.get("points")
