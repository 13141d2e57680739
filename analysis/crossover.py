"""What a point of gain costs at every size, and from which size on phase ii is not worth it.

The cost of phase ii is that of one training of one arm; what it buys is the mean gain over the
study's targets, which all start from it. Dollars vary little between seeds and are taken as known;
the intervals are those of the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.gains import NONE, last_runs
from analysis.panel import Array, Panel, replicas
from analysis.slope import contrast, slope_weights

_GRID = 241
CELL = ["model", "arm", "target", "seed"]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Means over seeds, in `unit`."""

    phase_two: Array
    """[size]: one phase-ii training, mean over arms."""
    without: Array
    """[size]: fine-tuning and scoring every target once, without phase ii."""
    unit: str
    """`$`, or `device hours` where some cell has no price."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """The scale from which on phase ii is not worth its cost.

    inf: beyond the largest size; 0: from below the smallest size on.
    """

    at: float
    low: float
    high: float
    """Ends of the 95 % interval, as `at`."""


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Prices of a point by size."""

    costs: Costs
    table: pl.DataFrame
    """One row per size: label, cost, gain, low, high, price, price_low, price_high (per point; inf
    where nothing may be bought), next_size (what a point costs by the next larger model, null
    where there is none or it scores no better).
    """
    curve: pl.DataFrame
    """Columns x, price, price_low, price_high along the line through the sizes' gains."""
    worth: float | None
    """What a point is worth by the question; None: not said, and any cost is worth a gain."""
    crossing: Crossing | None
    """None where nothing is tested."""


def crossover(frame: pl.DataFrame, panel: Panel, worth: float | None) -> Crossover | None:
    """Prices of a point of the mean gain over the series of a balanced panel.

    None where a cell with phase ii costs no more than one without: then its price is not known.

    Args:
        frame: Labelled tidy rows of one family and method.
        panel: Balanced: the population of the verdict, points.
        worth: Of a point, in the unit of the costs; None: not said.
    """
    costs = measured_costs(frame, panel)
    if costs is None:
        return None
    r = replicas(panel.y, panel.weights)
    each = contrast(np.broadcast_to(r, (len(r), *r.shape)), np.eye(len(r)), panel.x)
    low, high = each.interval()
    score = _scores_without(frame, panel)
    table = pl.DataFrame(
        {
            "label": list(panel.labels),
            "cost": costs.phase_two,
            "gain": each.estimate,
            "low": low,
            "high": high,
            "price": _price(costs.phase_two, each.estimate),
            "price_low": _price(costs.phase_two, high),
            "price_high": _price(costs.phase_two, low),
            "next_size": [*_price(np.diff(costs.without), np.diff(score)), np.inf],
        }
    ).with_columns(pl.when(pl.col("next_size").is_finite()).then("next_size").alias("next_size"))
    at = np.linspace(panel.x[0], panel.x[-1], _GRID)
    gain, (gain_low, gain_high) = along(r, panel.x, at)
    price = np.exp(np.interp(at, panel.x, np.log(costs.phase_two)))
    needed = np.zeros(_GRID) if worth is None else price / worth
    ends = [_last(at, value - needed) for value in (gain, gain_low, gain_high)]
    return Crossover(
        costs=costs,
        table=table,
        curve=pl.DataFrame(
            {
                "x": at,
                "price": _price(price, gain),
                "price_low": _price(price, gain_high),
                "price_high": _price(price, gain_low),
            }
        ),
        worth=worth,
        crossing=Crossing(at=ends[0], low=ends[1], high=ends[2])
        if np.isfinite(gain_low).all()
        else None,
    )


def along(r: Array, x: Array, at: Array) -> tuple[Array, tuple[Array, Array]]:
    """The line through the sizes' means at the places `at` [place], and its pointwise interval.

    Least squares, both ends of 95 %. r: replica values [size, seed]; x: log10 scale of the sizes,
    [size].
    """
    weights = 1 / len(x) + (at - x.mean())[:, None] * slope_weights(x)
    result = contrast(np.broadcast_to(r, (len(at), *r.shape)), weights, x)
    return result.estimate, result.interval()


def measured_costs(frame: pl.DataFrame, panel: Panel) -> Costs | None:
    """What the arms and targets of the panel cost; None where phase ii costs nothing.

    A cell's cost holds that of its phase ii, so the difference to the cell without is the price of
    phase ii alone, and steps that cells share are not counted twice.
    """
    arms, targets = (
        panel.series["arm"].unique().to_list(),
        panel.series["target"].unique().to_list(),
    )
    cells = (
        last_runs(frame)
        .filter(
            pl.col("arm").is_in([NONE, *arms])
            & pl.col("target").is_in(targets)
            & pl.col("model").is_in(panel.models)
        )
        .group_by(CELL)
        .agg(pl.col("dollars", "wall_seconds").max())
        .sort(CELL)
    )
    priced = cells["dollars"].null_count() == 0 and float(cells["dollars"].sum()) > 0
    value = pl.col("dollars") if priced else pl.col("wall_seconds") / 3600
    mean = cells.group_by("model", "arm", "target", maintain_order=True).agg(
        value.mean().alias("cost")
    )
    without = mean.filter(pl.col("arm") == NONE).select(
        "model", "target", pl.col("cost").alias("b")
    )
    extra = (
        mean.filter(pl.col("arm") != NONE)
        .join(without, on=["model", "target"], how="inner")
        .group_by("model", "arm", maintain_order=True)
        .agg((pl.col("cost") - pl.col("b")).mean().alias("extra"))
        .group_by("model", maintain_order=True)
        .agg(pl.col("extra").mean())
    )
    paid = dict(extra.iter_rows())
    base = dict(without.group_by("model").agg(pl.col("b").sort().sum()).iter_rows())
    phase_two = np.array([paid.get(name, np.nan) for name in panel.models], dtype=float)
    if not (phase_two > 0).all():
        return None
    return Costs(
        phase_two=phase_two,
        without=np.array([base[name] for name in panel.models], dtype=float),
        unit="$" if priced else "device hours",
    )


def _scores_without(frame: pl.DataFrame, panel: Panel) -> Array:
    """Mean score without phase ii on the targets and languages of the panel, points, [size]."""
    pairs = panel.series.select("target", "language").unique()
    rows = (
        last_runs(frame)
        .filter((pl.col("arm") == NONE) & pl.col("main") & (pl.col("split") == "test"))
        .join(pairs, on=["target", "language"], how="semi")
        .group_by("model", "target", "language")
        .agg(pl.col("value").sort().mean())
        .sort("model", "target", "language")
        .group_by("model", "target", maintain_order=True)
        .agg(pl.col("value").mean())
        .group_by("model", maintain_order=True)
        .agg(100 * pl.col("value").mean())
    )
    score = dict(rows.iter_rows())
    return np.array([score.get(name, np.nan) for name in panel.models], dtype=float)


def _price(cost: Array, gain: Array) -> Array:
    """cost/gain, inf where the gain is not above zero; NaN where it is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(gain), np.nan, np.where(gain > 0, cost / gain, np.inf))


def _last(at: Array, excess: Array) -> float:
    """The scale at which `excess` [place] is above zero for the last time: inf where it still is
    at the last place, 0 where it never is.
    """
    above = np.flatnonzero(excess > 0)
    if not len(above):
        return 0.0
    i = int(above[-1])
    if i == len(at) - 1:
        return float("inf")
    step = excess[i] / (excess[i] - excess[i + 1])
    return float(10 ** (at[i] + step * (at[i + 1] - at[i])))
