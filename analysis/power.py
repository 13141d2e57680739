"""What a design can see, and where the next seed pays.

The smallest detectable slope, the seeds for a wanted power, and what more seeds cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2, t

from analysis.panel import Array
from analysis.slope import slope_weights

MAX_SEEDS = 200


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Where the noise of a gain comes from: variances, in points².

    See analysis/variance.py for estimates.
    """

    replica: float = 0.0
    """Shared by everything in a (size, seed) replica."""
    checkpoint: float = 0.09
    """Phase-ii checkpoint of an arm, shared by its targets."""
    baseline: float = 0.25
    """Run without phase ii, shared by all arms of a target."""
    run: float = 0.25
    """Fine-tuning run of one (arm, target), shared by its languages."""
    language: float = 0.5
    """A single language's score: test set and the rest."""

    def pooled_variance(self, *, arms: int, targets: int, languages: int) -> float:
        """Variance between replicas of the mean over arms × targets × languages (statistics §2.1).

        The baseline's part does not fall with the number of arms: seeds and targets buy precision,
        arms do not.
        """
        return (
            self.replica
            + self.checkpoint / arms
            + self.baseline / targets
            + self.run / (arms * targets)
            + self.language / (arms * targets * languages)
        )


def standard_error(sd: float, x: Array, seeds: Sequence[int]) -> tuple[float, int]:
    """SE of the slope over x [size] and its degrees of freedom.

    For a replica SD and seeds per size.
    """
    weights = slope_weights(np.asarray(x, dtype=float))
    counts = np.asarray(seeds, dtype=float)
    return float(sd * np.sqrt((weights**2 / counts).sum())), int((counts - 1).sum())


def sd_interval(sd: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Both ends of the interval of a standard deviation that was estimated on `df`; NaN below 1."""
    if not df >= 1:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    return tuple(float(sd * np.sqrt(df / chi2.ppf(p, df))) for p in (1 - tail, tail))  # type: ignore[return-value]


def power_of(
    effect: float, sd: float, x: Array, seeds: Sequence[int], level: float = 0.05
) -> float:
    """Power of the two-sided t test of a slope of `effect` (noncentral t).

    Args:
        effect: True slope per tenfold scale.
        sd: Between the replicas of a size, points.
        x: log10 scale of the sizes, [size].
        seeds: Of each size.
        level: Of the two-sided test.
    """
    se, df = standard_error(sd, x, seeds)
    if df < 1:
        return float("nan")
    if se == 0:
        return 1.0 if effect else level
    return _power(round(abs(effect) / se, 9), df, level)


@lru_cache(maxsize=4096)
def _power(ratio: float, df: int, level: float) -> float:
    # Averaging the normal probability over the spread's distribution is stable where scipy's
    # noncentral t is NaN.
    cut = t.ppf(1 - level / 2, df) * _spread(df)
    return float((ndtr(ratio - cut) + ndtr(-ratio - cut)).mean())


@lru_cache(maxsize=1024)
def _spread(df: int, points: int = 2000) -> Array:
    """s/σ at the midpoints of `points` equal slices of its distribution."""
    return np.asarray(np.sqrt(chi2.ppf((np.arange(points) + 0.5) / points, df) / df))


def detectable(
    sd: float, x: Array, seeds: Sequence[int], power: float = 0.8, level: float = 0.05
) -> float:
    """The smallest slope that is detected with this power; NaN without replication.

    Args:
        sd: Between the replicas of a size, points.
        x: log10 scale of the sizes, [size].
        seeds: Of each size.
        power: Wanted.
        level: Of the two-sided test.
    """
    se, df = standard_error(sd, x, seeds)
    if df < 1:
        return float("nan")
    return se * _noncentrality(df, power, level)


@lru_cache(maxsize=1024)
def _noncentrality(df: int, power: float, level: float) -> float:
    return float(brentq(lambda ratio: _power(ratio, df, level) - power, 1e-6, 1e4))


def seeds_needed(
    effect: float, sd: float, x: Array, power: float = 0.8, most: int = MAX_SEEDS
) -> int | None:
    """Seeds per size to detect a slope of `effect` with this power; None if more than `most`.

    Args:
        effect: True slope per tenfold scale.
        sd: Between the replicas of a size, points.
        x: log10 scale of the sizes, [size].
        power: Wanted.
        most: Seeds per size that are tried.
    """
    for seeds in range(2, most + 1):
        if power_of(effect, sd, x, [seeds] * len(x)) >= power:
            return seeds
    return None


def equivalence_power(margin: float, sd: float, x: Array, seeds: Sequence[int]) -> float:
    """P(the 90 % interval lies inside ±margin) when the slope is 0.

    Args:
        margin: Slope per tenfold scale.
        sd: Between the replicas of a size, points.
        x: log10 scale of the sizes, [size].
        seeds: Of each size.
    """
    se, df = standard_error(sd, x, seeds)
    if df < 1:
        return float("nan")
    if se == 0:
        return 1.0
    room = np.maximum(margin / se - t.ppf(0.95, df) * _spread(df), 0.0)
    return float((2 * ndtr(room) - 1).mean())


def seeds_to_affirm(
    margin: float, sd: float, x: Array, power: float = 0.8, most: int = MAX_SEEDS
) -> int | None:
    """Seeds per size to affirm equivalence within ±margin when nothing changes.

    None if more than `most`.

    Args:
        margin: Slope per tenfold scale.
        sd: Between the replicas of a size, points.
        x: log10 scale of the sizes, [size].
        power: Wanted.
        most: Seeds per size that are tried.
    """
    for seeds in range(2, most + 1):
        if equivalence_power(margin, sd, x, [seeds] * len(x)) >= power:
            return seeds
    return None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One more seed at one size: what it does to the variance of the slope, and what it costs."""

    size: str
    seeds_before: int
    variance_cut: float
    """Share of the slope's variance that the seed removes."""
    cost: float
    unit: str
    """`$` or `device hours`."""

    @property
    def cut_per_cost(self) -> float:
        """Share of the variance removed per unit of cost; infinite where it costs nothing."""
        return self.variance_cut / self.cost if self.cost > 0 else float("inf")


def next_seeds(
    sd: Sequence[float],
    x: Array,
    seeds: Sequence[int],
    cost: Sequence[float],
    labels: Sequence[str],
    unit: str,
    rounds: int = 4,
) -> list[Advice]:
    """The greedy best extra seeds, in order.

    Each is the largest cut of Var(slope) per cost, given those before it.

    Args:
        sd: The replica SD at each size (the pooled one for all where they are alike).
        x: log10 scale of the sizes, [size].
        seeds: Of each size, before.
        cost: Of one more replica at each size.
        labels: Of the sizes.
        unit: Of the cost: `$` or `device hours`.
        rounds: How many seeds to place at most.
    """
    weights = slope_weights(np.asarray(x, dtype=float)) ** 2 * np.asarray(sd, dtype=float) ** 2
    counts = np.asarray(seeds, dtype=float).copy()
    out: list[Advice] = []
    for _ in range(rounds):
        total = (weights / counts).sum()
        if total <= 0:
            break
        cuts = weights * (1 / counts - 1 / (counts + 1)) / total
        options = [
            Advice(
                size=label,
                seeds_before=int(count),
                variance_cut=float(cut),
                cost=float(price),
                unit=unit,
            )
            for label, count, cut, price in zip(labels, counts, cuts, cost, strict=True)
        ]
        best = max(range(len(options)), key=lambda i: options[i].cut_per_cost)
        out.append(options[best])
        counts[best] += 1
    return out


def planned_grid(
    ledger: Ledger,
    x: Array,
    *,
    arms: int,
    targets: int,
    languages: int,
    seeds: Sequence[int] = (2, 3, 4, 5, 8, 10),
) -> list[dict[str, float]]:
    """What a design sees, per number of seeds.

    Replica SD of the pooled gain, detectable slope, and chance to affirm a slope within ±0.5.

    Args:
        ledger: Noise, points².
        x: log10 scale of the sizes, [size].
        arms: How many.
        targets: How many.
        languages: How many per target.
        seeds: Numbers of seeds per size that are tried.
    """
    sd = float(np.sqrt(ledger.pooled_variance(arms=arms, targets=targets, languages=languages)))
    return [
        {
            "seeds": s,
            "replica_sd": sd,
            "detectable": detectable(sd, x, [s] * len(x)),
            "affirm_half_point": equivalence_power(0.5, sd, x, [s] * len(x)),
        }
        for s in seeds
    ]
