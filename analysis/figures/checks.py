"""F6–F9: collapse, the ceiling, the specification curve, and the power of the design."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.collapse import wilson
from analysis.estimands import PRIMARY
from analysis.figures.style import (
    BAND,
    BLUE,
    GREY,
    GRID,
    INK,
    ORANGE,
    TIER_COLOURS,
    VERMILLION,
    bare,
    figure,
)
from analysis.gains import NONE
from analysis.power import detectable
from analysis.results import Results


def collapse(results: Results) -> Figure:
    """F6: share of runs that collapsed, with phase ii and without, Wilson intervals."""
    drawn = figure(5.2, 2.4)
    axes = drawn.subplots()
    looks = {"without phase ii": (BLUE, "o", -0.08), "with phase ii": (VERMILLION, "D", 0.08)}
    for name, (colour, marker, shift) in looks.items():
        rule = (pl.col("arm") == NONE) == (name == "without phase ii")
        part = (
            results.collapse.filter(rule)
            .group_by("model", maintain_order=True)
            .agg(pl.col("collapsed", "runs").sum())
        )
        order = [results.sizes["model"].to_list().index(model) for model in part["model"]]
        low, high = wilson(part["collapsed"].to_numpy(), part["runs"].to_numpy())
        rate = (part["collapsed"] / part["runs"]).to_numpy()
        at = np.array(order) + shift
        axes.vlines(at, 100 * low, 100 * high, color=colour, lw=1.4)
        axes.plot(at, 100 * rate, marker, color=colour, ms=6, mec="white", mew=0.6, label=name)
    axes.set_xticks(range(len(results.sizes)), results.sizes["label"].to_list())
    axes.set_ylabel("runs that collapsed, %")
    axes.set_ylim(bottom=-2)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    bare(axes, "y")
    return drawn


_DOTS = 3000
"""More gains than this are shown as densities, a panel a size: dots would hide each other."""


def ceiling(results: Results) -> Figure:
    """F7: every mean gain against its score without phase ii, over curves of constant log odds."""
    kept = results.gains.filter(PRIMARY)
    means = (
        kept.group_by("model", "arm", "target", "language", "tier")
        .agg(pl.col("points").mean(), (100 * pl.col("baseline").mean()).alias("baseline"))
        .sort("model", "arm", "target", "language")
    )
    points, baselines = means["points"].to_numpy(), means["baseline"].to_numpy()
    low, high = np.quantile(points, [0.002, 0.998])
    room = 0.1 * (high - low) + 0.2
    ends = max(baselines.min() - 3, 0.5), min(baselines.max() + 3, 99.5)
    sizes = results.sizes.filter(pl.col("model").is_in(means["model"].unique().to_list()))
    panels = len(sizes) if len(means) > _DOTS else 1
    drawn = figure(7.2, 3.8)
    grid = drawn.subplots(1, panels, squeeze=False, sharex=True, sharey=True)[0]
    for axes in grid:
        _constant_odds(axes, *ends)
        axes.set_xlim(*ends)
        axes.set_ylim(low - room, high + room)
        axes.set_xlabel("score without phase ii")
        bare(axes, "")
    grid[0].set_ylabel("gain, points")
    if panels > 1:
        for axes, (model, label) in zip(
            grid, sizes.select("model", "label").iter_rows(), strict=True
        ):
            part = means.filter(pl.col("model") == model)
            axes.hexbin(
                part["baseline"],
                part["points"],
                gridsize=28,
                extent=(*ends, low - room, high + room),
                mincnt=1,
                bins="log",
                cmap="Blues",
                lw=0.1,
                zorder=2,
                rasterized=True,
            )
            axes.set_title(label, loc="left")
        return drawn
    for tier, colour in TIER_COLOURS.items():
        part = means.filter(pl.col("tier") == tier)
        if len(part):
            grid[0].scatter(
                part["baseline"],
                part["points"],
                s=9,
                color=colour,
                alpha=0.55,
                lw=0,
                label=tier,
                zorder=2,
            )
    grid[0].legend(title=None, ncols=4, loc="upper left", bbox_to_anchor=(0, 1.12))
    return drawn


def _constant_odds(axes: Axes, left: float, right: float) -> None:
    """Curves along which log odds gain the same, between two scores."""
    score = np.linspace(left, right, 200)
    odds = np.log(score / (100 - score))
    for place, shift in enumerate((-0.8, -0.4, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.4, 0.8)):
        line = 100 / (1 + np.exp(-(odds + shift))) - score
        axes.plot(score, line, color=GRID, lw=1, zorder=1)
        # Labels of neighbours stand apart where the curves run together.
        at = 3 + 22 * (place % 3)
        axes.text(
            score[at],
            line[at],
            f"{shift:+g}",
            fontsize=6.5,
            color=GREY,
            va="bottom",
            clip_on=True,
            in_layout=False,
        )
    axes.axhline(0, color=INK, lw=0.8)


_AXES = {
    "total_params": "all parameters",
    "backbone_params": "without embeddings",
    "train_flops": "training FLOPs",
}


def specification(results: Results) -> Figure:
    """F8: the low-resource slope under every axis, definition and scale.

    Each is a share of its own 95 % half-width.

    Points and log odds have no common unit, so the estimate is shown in units of its interval:
    beyond ±1 the interval excludes zero.
    """
    table = results.specifications.filter(pl.col("estimate").is_not_null()).sort("estimate")
    half = ((table["high"] - table["low"]) / 2).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        share = table["estimate"].to_numpy() / half
    order = np.argsort(share)
    drawn = figure(7.2, 3.6)
    top, bottom = drawn.subplots(2, 1, sharex=True, height_ratios=[1.4, 1])
    top.axhspan(-1, 1, color=BAND, lw=0)
    top.axhline(0, color=INK, lw=0.8)
    sign = np.abs(share[order]) > 1
    at = np.arange(len(order))
    top.plot(at[sign], share[order][sign], "D", color=VERMILLION, ms=6)
    top.plot(at[~sign], share[order][~sign], "o", mfc="none", color=BLUE, ms=6)
    top.set_ylabel("estimate ÷ half-width\nof its 95 % interval")
    axes = table["axis"].unique().to_list()
    choices = [("axis", key, name) for key, name in _AXES.items() if key in axes]
    names = {"everyone": "all languages", "listed": "listed languages"}
    choices += [
        ("definition", key, names.get(key, f"low-resource by {key}"))
        for key in table["definition"].unique().sort()
    ]
    choices += [("scale", "points", "points"), ("scale", "logit", "log odds")]
    choices += [("scale", "room", "log odds, chance to ceiling")]
    for place, (column, key, _) in enumerate(choices):
        on = np.array([table[column][int(i)] == key for i in order], dtype=bool)
        bottom.plot(at[~on], np.full((~on).sum(), -place), ".", color=GRID, ms=4)
        bottom.plot(at[on], np.full(on.sum(), -place), "s", color=INK, ms=4)
    for place, i in enumerate(order):
        if table["primary"][int(i)]:
            top.annotate(
                "primary",
                (place, share[i]),
                xytext=(0, 8),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    bottom.set_yticks([-i for i in range(len(choices))], [name for _, _, name in choices])
    bottom.set_xticks([])
    bare(top, "y")
    bare(bottom, "")
    bottom.spines["bottom"].set_visible(False)
    return drawn


def power(results: Results) -> Figure | None:
    """F9: the slope that is seen with 80 % power, by seeds per size, at this study's noise."""
    sd = results.power.replica_sd
    if not np.isfinite(sd) or sd == 0:
        return None
    seeds = np.arange(2, 21)
    x = np.array(results.power.x)
    drawn = figure(5.2, 2.7)
    axes = drawn.subplots()
    axes.plot(
        seeds,
        [detectable(sd, x, [int(s)] * len(x)) for s in seeds],
        color=BLUE,
        label=f"{len(x)} sizes",
    )
    if len(x) > 2:
        less = [detectable(sd, x[:-1], [int(s)] * (len(x) - 1)) for s in seeds]
        axes.plot(seeds, less, color=ORANGE, ls="--", label="without the largest")
    axes.axhline(results.margins["points"], color=GREY, lw=1, ls=":")
    axes.text(
        20, results.margins["points"], "margin", ha="right", va="bottom", fontsize=7, color=GREY
    )
    now = results.power.detectable
    have = min(int(c) for c in results.primary.seeds.split())
    axes.plot([have], [now], "D", color=VERMILLION, ms=7, label="this study")
    axes.set_xlabel("seeds per size")
    axes.set_ylabel("detectable slope, points")
    axes.set_ylim(
        0, max(1.25 * max(now, detectable(sd, x, [3] * len(x))), 1.2 * results.margins["points"])
    )
    axes.set_xticks(range(2, 21, 2))
    axes.legend()
    bare(axes, "y")
    return drawn
