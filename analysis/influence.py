"""What a claim hangs on: the slope again with one thing left out or done otherwise.

Without one target, arm, size, language family or seed, with other weights, other variances and
other runs. A claim is robust if no such omission undoes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from analysis.estimands import balanced
from analysis.panel import Array, Panel, TooFewScales, replicas
from analysis.slope import Contrast, contrast, slope_weights
from scaling.catalogue.languages import UNKNOWN_FAMILY, get_language

KEEPS = 0.5
"""A claim is undone by an omission that leaves less than this share of the slope …"""
LEVEL = 0.95
"""… or whose interval at this level reaches zero. Leaving out a size costs half of the lever of the
slope, a seed a third of the runs, and runs that collapsed add noise of another kind: there only
the size of the slope is asked for."""
STRONG = 0.98
"""… and the whole study must exclude zero at this level: a claim at the edge of 5 % flips with any
run that is added."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """The slope of the population, points per tenfold, when one thing is done differently."""

    what: str
    """`target`, `arm`, `size`, `family`, `seed`, `weights`, `variance`, `runs`."""
    name: str
    """What is left out or done instead."""
    estimate: float
    low: float
    high: float
    over_span: float
    """Points from the smallest to the largest of its sizes."""
    undoes: bool
    """Whether the claim would not have been made, or not as strongly (`KEEPS`)."""


def influence(
    panel: Panel, condition: pl.Expr, other: dict[str, tuple[str, Panel]]
) -> list[Variation]:
    """All variations of a population's slope, the most influential first.

    `panel`: primary gains in points, not balanced yet. `other`: name → (what, panel) of gains that
    are treated otherwise, in points.
    """
    try:
        chosen = balanced(panel, condition)
    except TooFewScales:
        return []
    r = replicas(chosen.y, chosen.weights)
    whole = contrast(r, slope_weights(chosen.x), chosen.x)
    equal = whole.equal_variances()
    found = [_judged(whole, "variance", "the same at all sizes", equal, chosen)]
    for what, name, part, weights in _omissions(chosen):
        if part.num_sizes >= 2 and len(part.series):
            found.append(_judged(whole, what, name, _slope(part, weights), part))
    for name, (what, changed) in other.items():
        try:
            part = balanced(changed, condition)
        except TooFewScales:
            continue
        found.append(_judged(whole, what, name, _slope(part, part.weights), part))
    shift = [abs(item.estimate - float(whole.estimate)) for item in found]
    order = sorted(range(len(found)), key=lambda i: (not found[i].undoes, -shift[i]))
    return [found[i] for i in order]


def is_robust(whole: Contrast, variations: list[Variation], items: float = 0.0) -> bool:
    """Whether the slope is far from zero and no variation undoes it.

    `items`: what the draw of examples adds to its standard error, points per tenfold.
    """
    reach = np.hypot(float(whole.half(STRONG)), norm.ppf(0.5 + STRONG / 2) * items)
    return abs(float(whole.estimate)) > reach and not any(item.undoes for item in variations)


def _omissions(panel: Panel) -> Iterator[tuple[str, str, Panel, Array]]:
    for what in ("target", "arm"):
        names = panel.series[what].unique().sort().to_list()
        for name in names if len(names) > 1 else []:
            part = panel.where(pl.col(what) != name)
            yield what, name, part, part.weights
    family = {
        code: get_language(code).family for code in panel.series["language"].unique().to_list()
    }
    known = set(family.values()) - {UNKNOWN_FAMILY}
    for name in sorted(known) if len(set(family.values())) > 1 else []:
        lost = [code for code, one in family.items() if one == name]
        part = panel.where(~pl.col("language").is_in(lost))
        yield "language family", name, part, part.weights
    if panel.num_sizes > 2:
        for i, label in enumerate(panel.labels):
            part = panel.sizes([j for j in range(panel.num_sizes) if j != i])
            yield "size", label, part, part.weights
    for j, seed in enumerate(panel.seeds):
        y = panel.y.copy()
        y[:, j] = np.nan
        if (np.isfinite(y).any(axis=2).sum(axis=1) >= 2).all():
            part = Panel(**{**panel.__dict__, "y": y})
            yield "seed", str(seed), part, part.weights
    yield "weights", "each task by its own SD", panel, _by_sd(panel)


def _by_sd(panel: Panel) -> Array:
    """Weights of targets by one over the SD between replicas of their mean gain, same unit kept."""
    weights = panel.weights
    targets = panel.series["target"].to_numpy()
    factor = np.ones(len(weights))
    for target in np.unique(targets):
        at = targets == target
        r = replicas(panel.y, np.where(at, weights / weights[at].sum(), 0.0))
        # A size with one replica says nothing of their spread.
        several = r[np.isfinite(r).sum(axis=1) > 1]
        variance = np.nanmean(np.nanvar(several, axis=1, ddof=1)) if len(several) else np.nan
        factor[at] = 1 / np.sqrt(variance) if variance > 0 else np.nan
    if not np.isfinite(factor).all():
        return weights
    scaled = weights * factor
    return np.asarray(scaled / scaled.sum())


def _slope(panel: Panel, weights: Array) -> Contrast:
    return contrast(replicas(panel.y, weights), slope_weights(panel.x), panel.x)


def _judged(whole: Contrast, what: str, name: str, part: Contrast, panel: Panel) -> Variation:
    """One variation beside the whole study's slope.

    Args:
        whole: The study's slope.
        what: As `Variation.what`.
        name: As `Variation.name`.
        part: The slope when it is done differently.
        panel: Behind `part`.
    """
    low, high = (float(v) for v in part.interval(LEVEL))
    main, estimate = float(whole.estimate), float(part.estimate)
    kept = main * estimate > 0 and abs(estimate) >= KEEPS * abs(main)
    shown = low > 0 or high < 0 or what in ("size", "seed", "runs")
    return Variation(
        what=what,
        name=name,
        estimate=estimate,
        low=low,
        high=high,
        over_span=estimate * float(np.ptp(panel.x)),
        undoes=not (kept and shown),
    )
