"""F0: the mean gain against size, above the scores that it is the difference of."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from analysis.answer import verdict_panel
from analysis.estimands import PRIMARY
from analysis.figures.style import BLUE, GREY, INK, VERMILLION, bare, figure
from analysis.pairs import by_size
from analysis.panel import Array, Panel, replicas
from analysis.results import Results
from analysis.sentences import AXIS_NAMES


def size_curve(results: Results) -> Figure:
    """F0: gains with intervals and replicas, and mean scores with and without phase ii."""
    panel = verdict_panel(results)
    x = 10.0**panel.x
    drawn = figure(5.2, 4.4)  # narrow enough to be read whole on a phone
    gain, score = drawn.subplots(2, 1, sharex=True, height_ratios=[1.25, 1])
    gain.set_xscale("log")
    _gains(gain, results, panel, x)
    for name, label, colour, marker in (
        ("value", "with phase ii", VERMILLION, "D"),
        ("against", "without", BLUE, "o"),
    ):
        means = mean_scores(results, panel, name)
        score.plot(x, means, marker=marker, color=colour, ms=6, mec="white", mew=0.6, label=label)
    score.set_ylabel("mean score")
    score.legend(loc="best")
    _at_least(score, 4.0)
    score.set_xlabel(f"{AXIS_NAMES[results.question.x_axis]} (log scale)")
    # Sizes name the axis: powers of ten between them would be noise.
    score.xaxis.set_minor_locator(NullLocator())
    score.xaxis.set_minor_formatter(NullFormatter())
    score.set_xticks(
        x, [f"{label}\n{_short(at)}" for label, at in zip(panel.labels, x, strict=True)]
    )
    score.set_xlim(x[0] / (x[-1] / x[0]) ** 0.06, x[-1] * (x[-1] / x[0]) ** 0.06)
    for axes in (gain, score):
        bare(axes, "y")
    return drawn


def mean_scores(results: Results, panel: Panel, name: str) -> Array:
    """Mean scores [size], 0..100, of the series and weights of the verdict.

    Args:
        results: Whose gains hold the scores.
        panel: Of the verdict (`verdict_panel`).
        name: `value`, or `against`, which the gain is over.
    """
    key = ["arm", "target", "language"]
    means = (
        results.gains.filter(PRIMARY)
        .group_by(*key, "model")
        .agg((100 * pl.col(name).sort().mean()).alias("score"))
    )
    series = panel.series.select(key).with_columns(pl.Series("weight", panel.weights))
    # In one order: sums of floats in another differ in their last digits, and so would the file.
    joined = series.join(means, on=key).sort("model", *key)
    found = joined.group_by("model").agg(pl.col("weight").dot("score"))
    by_model = dict(found.iter_rows())
    return np.array([by_model[model] for model in panel.models])


def _gains(axes: Axes, results: Results, panel: Panel, x: Array) -> None:
    rows = by_size(panel)
    tested = results.verdict.call is not None
    r = replicas(panel.y, panel.weights)
    axes.axhline(0, color=INK, lw=0.8)
    beside = (x[-1] / x[0]) ** -0.012
    for i, at in enumerate(x):
        seen = r[i][np.isfinite(r[i])]
        axes.plot(np.full(len(seen), at * beside), seen, ".", color=GREY, ms=5, mew=0)
    estimates = np.array([float(str(row["estimate"])) for row in rows])
    axes.plot(x, estimates, color=INK, lw=1.2)
    axes.plot(x, estimates, "D", color=INK, ms=6, mec="white", mew=0.6)
    if tested:
        ends = [[float(str(row["low"])), float(str(row["high"]))] for row in rows]
        # The ends are those of the answer, which hold the draw of examples where it is asked for.
        ends[0] = [results.smallest.low, results.smallest.high]
        ends[-1] = [results.largest.low, results.largest.high]
        low, high = np.array(ends).T
        axes.vlines(x, low, high, color=INK, lw=1.4)
    axes.set_ylabel("mean gain, points")
    _at_least(axes, 2.0)


def _at_least(axes: Axes, span: float) -> None:
    """An axis of next to nothing makes a cliff of every ripple."""
    low, high = axes.get_ylim()
    more = max(span - (high - low), 0) / 2
    axes.set_ylim(low - more, high + more)


def _short(value: float) -> str:
    """A count in the unit that it is read in: 278M, 3.5B, 2.1e18."""
    if value >= 1e13:
        return f"{value:.1e}".replace("e+", "e")
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
