"""F10–F12: what a point costs, which languages gain together, and what small sizes foretell."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.figures.style import BLUE, GREY, GRID, INK, ORANGE, VERMILLION, bare, figure
from analysis.results import Results

_RASTER = 50
_PRINTED = 18
"""Languages up to which correlations are printed into their cells."""


def price(results: Results) -> Figure | None:
    """F10: what a point of gain costs at each size, with the next larger model beside it."""
    found = results.crossover
    if found is None:
        return None
    table, curve = found.table, found.curve
    x = np.array(results.power.x)
    drawn = figure(7.2, 3.4)
    axes = drawn.subplots()
    axes.set_yscale("log")
    shown = [*table["price"], *table["price_low"], *table["next_size"].drop_nulls()]
    if found.worth is not None:
        shown.append(found.worth)
    inside = [value for value in shown if value > 0 and np.isfinite(value)]
    if not inside:
        return None
    low, top = min(inside) / 1.6, max(inside) * 4
    ends = [curve[name].to_numpy() for name in ("price_low", "price_high")]
    if np.isfinite(ends[0]).any():
        axes.fill_between(
            curve["x"], *(np.minimum(end, 2 * top) for end in ends), color=BLUE, alpha=0.15, lw=0
        )
    line = curve["price"].to_numpy()
    axes.plot(curve["x"], np.where(np.isfinite(line), line, np.nan), color=BLUE)
    for at, row in zip(x, table.iter_rows(named=True), strict=True):
        least, most = row["price_low"], min(row["price_high"], 2 * top)
        if np.isfinite(least):
            axes.plot([at, at], [least, most], color=INK, lw=1.4)
        if np.isfinite(row["price"]):
            axes.plot([at], [row["price"]], "D", color=INK, ms=6, mec="white", mew=0.6)
        else:
            axes.annotate(
                "no gain",
                (at, top),
                xytext=(0, -4),
                textcoords="offset points",
                ha="center",
                va="top",
                fontsize=7.5,
                color=VERMILLION,
            )
    upgrade = [np.nan if value is None else value for value in table["next_size"]]
    axes.plot(x, upgrade, "s", color=ORANGE, ms=6, mec="white", mew=0.6, label="the next size")
    axes.plot([], [], "D", color=INK, ms=6, label="phase ii")
    if found.worth is not None:
        axes.axhline(found.worth, color=GREY, lw=1, ls=":")
        axes.text(x[0], found.worth, "worth of a point", fontsize=7.5, color=GREY, va="bottom")
    axes.set_ylim(low, top)
    axes.set_xticks(x, table["label"].to_list())
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    unit = "$" if found.costs.unit == "$" else found.costs.unit
    axes.set_ylabel(f"{unit} per point")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    bare(axes, "y")
    return drawn


def together(results: Results) -> Figure | None:
    """F11: language × language correlations of true gains, families side by side."""
    found = results.co_gains
    if found is None:
        return None
    # A language without any correlation would be an empty row.
    used = (np.isfinite(found.correlation).sum(axis=0) > 1).nonzero()[0]
    names = found.languages["language_name"].gather(used).to_list()
    family = found.languages["family"].gather(used).to_list()
    cells, num = found.correlation[np.ix_(used, used)], len(used)
    side = max(2.6, min(0.34 * num, 0.15 * num + 3.4))
    drawn = figure(side + 2.6, side + 1.0)
    axes = drawn.subplots()
    np.fill_diagonal(cells, np.nan)
    axes.set_facecolor(GRID)
    # From here on cells as shapes are megabytes: they become one picture.
    many = num > _RASTER
    mesh = axes.pcolormesh(cells, cmap="PuOr_r", norm=Normalize(-1, 1), rasterized=many)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    size = float(np.clip(200 / max(num, 1), 5, 8))
    axes.set_xticks(np.arange(num) + 0.5, names, rotation=90, fontsize=size)
    axes.set_yticks(np.arange(num) + 0.5, names, fontsize=size)
    for i in range(1, num):
        if family[i] != family[i - 1]:
            axes.axhline(i, color=INK, lw=0.7)
            axes.axvline(i, color=INK, lw=0.7)
    if num <= _PRINTED:
        for i, j in zip(*np.nonzero(np.isfinite(cells)), strict=True):
            value = cells[i, j]
            axes.text(
                j + 0.5,
                i + 0.5,
                f"{value:.1f}".replace("-", "−"),
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if abs(value) > 0.62 else "black",
            )
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = drawn.colorbar(mesh, ax=axes, shrink=0.6, pad=0.02, label="correlation of gains")
    bar.outline.set_visible(False)
    return drawn


def foresight(results: Results) -> Figure | None:
    """F12: the share of choices at each size that come out as at the largest."""
    table = results.foresight
    looks = {
        "order": ("which of two arms is better", BLUE, "o"),
        "helps": ("whether an arm helps", VERMILLION, "D"),
    }
    shown = {name: look for name, look in looks.items() if not table[name].is_nan().all()}
    if not shown:
        return None
    drawn = figure(5.6, 2.8)
    axes = drawn.subplots()
    at = np.arange(len(table))
    axes.axhline(50, color=GREY, lw=1, ls=":")
    axes.text(at[-1] + 0.2, 50, "a coin", fontsize=7, color=GREY, va="bottom", ha="right")
    for name, (label, colour, marker) in shown.items():
        share = 100 * table[name].to_numpy()
        axes.plot(at[:-1], share[:-1], color=colour, marker=marker, ms=6, label=label)
        axes.plot(at[-1:], share[-1:], marker, mfc="none", color=colour, ms=7)
    labels = [*table["label"][:-1], f"{table['label'][-1]},\nother seeds"]
    axes.set_xticks(at, labels)
    axes.set_ylabel("as at the largest size, %")
    axes.set_ylim(-4, 104)
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    bare(axes, "y")
    return drawn
