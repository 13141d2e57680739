"""F2, F3, F5: what each language does."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from analysis.figures.style import BAND, GREY, GRID, INK, TIER_COLOURS, TIER_MARKERS, bare, figure
from analysis.per_language import language_replicas
from analysis.results import Results
from analysis.sentences import text_of
from analysis.slope import moments, t_quantile

_GAP = 0.18
_LETTERS = 15
"""That a panel is wide, at the size of names."""
_SHORT = {"billion tokens": "B"}
"""Units as a panel has room for."""


def multiples(results: Results) -> Figure:
    """F2: one panel per language by pretraining text, with a shared y axis.

    Replicas are dots; the shrunk line has its band.

    All panels are collections in one Axes: fifty Axes would take matplotlib nine seconds.
    """
    table, r = language_replicas(results.panel)
    x = results.panel.x
    u = (x - x[0]) / (x[-1] - x[0])
    num = len(table)
    across = min(8, max(3, int(np.ceil(np.sqrt(num * 1.6)))))
    down = int(np.ceil(num / across))
    low, high = _limits(r)
    lines, bands, boxes, zeros, dots = [], [], [], [], []
    drawn = figure(1.15 * across + 0.5, 1.05 * down + 0.45)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0.0, 0.0, 1.0, 1.0))
    fit = results.fit
    slope = np.where(np.isfinite(fit.eb), fit.eb, fit.slope)
    df = np.where(np.isfinite(fit.eb_df), fit.eb_df, fit.df)
    half = t_quantile(0.975, df) * np.where(np.isfinite(fit.eb_se), fit.eb_se, fit.se)
    _, mean, _ = moments(r)
    present = np.isfinite(mean)
    num_sizes = np.maximum(present.sum(axis=1), 1)
    centre = np.where(present, mean, 0.0).sum(axis=1) / num_sizes
    middle = np.where(present, x, 0.0).sum(axis=1) / num_sizes

    def place(i: int, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        left, top = (i % across) * (1 + _GAP), -(i // across) * (1 + 2.2 * _GAP)
        return np.column_stack(
            [left + 0.06 + 0.88 * xs, top + (np.clip(ys, low, high) - low) / (high - low)]
        )

    for i, row in enumerate(table.iter_rows(named=True)):
        around = (x - middle[i]) * slope[i]
        lines.append((place(i, u, centre[i] + around), TIER_COLOURS[row["tier"]]))
        if np.isfinite(half[i]):
            turn = np.abs(x - middle[i]) * half[i]
            upper, lower = (
                place(i, u, centre[i] + around + turn),
                place(i, u, centre[i] + around - turn),
            )
            bands.append((np.vstack([upper, lower[::-1]]), TIER_COLOURS[row["tier"]]))
        zeros.append(place(i, np.array([-0.06, 1.06]), np.zeros(2)))
        boxes.append(place(i, np.array([-0.068, -0.068]), np.array([low, high])))
        at, seeds = np.nonzero(np.isfinite(r[i]))
        dots.append(place(i, u[at], r[i][at, seeds]))
        left, top = (i % across) * (1 + _GAP), -(i // across) * (1 + 2.2 * _GAP)
        note = row["tier"]
        if row["pretraining_text"]:
            note = f"{row['pretraining_text']:.4g} {_SHORT.get(row['text_unit'], row['text_unit'])}"
        name = row["language_name"]
        # A long name would run into the next panel's.
        fitting = 7.5 * min(1.0, _LETTERS / len(name))
        axes.text(left, top + 1.06, name, fontsize=fitting, fontweight="bold")
        axes.text(left + 1, top + 0.97, note, fontsize=6.5, ha="right", va="top", color=GREY)
        if i % across == 0:
            for value in (low, 0.0, high):
                axes.text(
                    left - 0.04,
                    place(i, np.zeros(1), np.array([value]))[0, 1],
                    f"{value:g}",
                    fontsize=6.5,
                    ha="right",
                    va="center",
                )
        if i + across >= num:
            for value, label in zip(u, results.panel.labels, strict=True):
                axes.text(
                    left + 0.06 + 0.88 * value,
                    top - 0.05,
                    label,
                    fontsize=6.5,
                    ha="right",
                    va="top",
                    rotation=40,
                )
    axes.add_collection(LineCollection(boxes, colors=GRID, linewidths=0.8))
    axes.add_collection(LineCollection(zeros, colors=INK, linewidths=0.6))
    if bands:
        axes.add_collection(
            PolyCollection(
                [b for b, _ in bands], facecolors=[c for _, c in bands], alpha=0.22, lw=0
            )
        )
    points = np.vstack(dots)
    axes.plot(points[:, 0], points[:, 1], ".", color=GREY, ms=3.2, mew=0)
    axes.add_collection(
        LineCollection([p for p, _ in lines], colors=[c for _, c in lines], linewidths=1.8)
    )
    axes.set_xlim(-0.3, across * (1 + _GAP) - _GAP + 0.05)
    axes.set_ylim(-(down - 1) * (1 + 2.2 * _GAP) - 0.45, 1.25)
    axes.axis("off")
    return drawn


def _limits(r: np.ndarray) -> tuple[float, float]:
    """Shared limits: zero inside, whole numbers, single wild replicas clipped at the edge."""
    low, high = np.nanquantile(r, [0.005, 0.995])
    return float(min(np.floor(low), -1.0)), float(max(np.ceil(high), 1.0))


def forest(results: Results) -> Figure:
    """F3: least squares thin, shrunk thick, one row per language, the pooled slope last."""
    table = results.languages.reverse()
    num = len(table)
    drawn = figure(7.2, 1.2 + 0.2 * num)
    axes = drawn.subplots()
    margin = results.margins["points"]
    axes.axvspan(-margin, margin, color=BAND, lw=0, zorder=0)
    axes.axvline(0, color=INK, lw=0.8)
    for place, row in enumerate(table.iter_rows(named=True), start=1):
        colour = TIER_COLOURS[row["tier"]]
        if np.isfinite(row["low"]):
            axes.plot([row["low"], row["high"]], [place, place], color=GREY, lw=0.9)
        axes.plot([row["slope"]], [place], ".", color=GREY, ms=4)
        if np.isfinite(row["eb"]):
            axes.plot(
                [row["eb_low"], row["eb_high"]],
                [place, place],
                color=colour,
                lw=2.6,
                solid_capstyle="butt",
            )
            axes.plot(
                [row["eb"]],
                [place],
                TIER_MARKERS[row["tier"]],
                color=colour,
                ms=5,
                mec="white",
                mew=0.5,
            )
    e = results.primary
    if np.isfinite(e.low):
        axes.fill(
            [e.low, e.estimate, e.high, e.estimate], [-0.2, 0.15, -0.2, -0.55], color=INK, lw=0
        )
    else:
        axes.plot([e.estimate], [-0.2], "D", color=INK)
    names = [
        f"{row['language_name']}{' *' if row['low_resource'] else ''}"
        for row in table.iter_rows(named=True)
    ]
    axes.set_yticks([-0.2, *range(1, num + 1)], [f"{results.population} mean", *names])
    axes.set_ylim(-1, num + 0.8)
    axes.set_xlabel("slope of the gain, points per tenfold scale")
    bare(axes)
    return drawn


def resources(results: Results) -> Figure | None:
    """F5: slopes against pretraining text, unseen languages at the left edge, unknown ones nowhere.

    The run-level trend is a band. None below two languages.
    """
    table = results.languages.filter(pl.col("pretraining_text").is_not_null())
    if len(table) < 2:
        return None
    drawn = figure(7.2, 3.6)
    axes = drawn.subplots()
    size = table["pretraining_text"].to_numpy()
    seen = size > 0
    log = np.where(seen, np.log10(np.where(seen, size, 1.0)), np.nan)
    left = (np.nanmin(log) if seen.any() else 0.0) - 0.6
    at = np.where(seen, log, left)
    shown = np.where(
        np.isfinite(table["eb"].to_numpy()), table["eb"].to_numpy(), table["slope"].to_numpy()
    )
    axes.axhline(0, color=INK, lw=0.8)
    if results.gamma is not None and seen.sum() > 2:
        z = (log[seen] - log[seen].mean()) / log[seen].std()
        grid = np.linspace(z.min(), z.max(), 40)
        xs = grid * log[seen].std() + log[seen].mean()
        middle = shown[seen].mean() + results.gamma.estimate * grid
        axes.plot(xs, middle, color=INK, lw=1.2)
        if np.isfinite(results.gamma.low):
            half = (results.gamma.high - results.gamma.estimate) * np.abs(grid)
            axes.fill_between(xs, middle - half, middle + half, color=GREY, alpha=0.25, lw=0)
    low, high = table["eb_low"].to_numpy(), table["eb_high"].to_numpy()
    ends = np.concatenate([low, high, shown])
    height = max(float(np.ptp(ends[np.isfinite(ends)])), 1e-9)
    named: list[int] = []
    for i, row in enumerate(table.iter_rows(named=True)):
        colour = TIER_COLOURS[row["tier"]]
        if np.isfinite(low[i]):
            axes.plot([at[i], at[i]], [low[i], high[i]], color=colour, lw=0.9, alpha=0.6)
        axes.plot(
            [at[i]], [shown[i]], TIER_MARKERS[row["tier"]], color=colour, ms=5, mec="white", mew=0.5
        )
        near = [
            abs(at[i] - at[j]) < 0.12 and abs(shown[i] - shown[j]) < 0.045 * height for j in named
        ]
        if not any(near):  # the others are in the table: names on top of each other help nobody
            named.append(i)
            axes.annotate(
                row["language"],
                (at[i], shown[i]),
                xytext=(3, 3),
                textcoords="offset points",
                fontsize=6.5,
            )
    ticks = [value for value in (-1, 0, 1, 2) if value >= left + 0.3]
    unseen = [left] if (~seen).any() else []
    axes.set_xticks(
        [*unseen, *ticks], [*(["unseen"] if unseen else []), *(f"{10.0**v:g}" for v in ticks)]
    )
    text = text_of(results)
    axes.set_xlabel("" if text is None else f"{text.name} in pretraining, {text.unit} (log scale)")
    axes.set_ylabel("slope, points per tenfold scale")
    bare(axes, "y")
    return drawn
