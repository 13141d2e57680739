"""F4: intermediate × target at each size, and the slope, with numbers printed.

Colours diverge from zero in the middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from analysis.figures.style import GREY, figure
from analysis.results import Results

_WIDEST = 11.0
"""Inches; more panels go to the next row."""


def heatmap(results: Results) -> Figure:
    """F4: mean gains by arm and target, a panel per size and one of the slope."""
    table = results.pairs
    arms = table["arm"].unique().sort().to_list()
    targets = table["target"].unique().sort().to_list()
    panels = [
        *results.sizes.select("model", "label").iter_rows(),
        ("slope", "slope per tenfold scale"),
    ]
    values = {(r["model"], r["arm"], r["target"]): r for r in table.iter_rows(named=True)}
    limits = {
        name: _limit(table.filter((pl.col("model") == "slope") == (name == "slope")))
        for name in ("gain", "slope")
    }
    width, height = max(0.52 * len(targets), 1.1) + 0.15, max(0.28 * len(arms), 0.6) + 0.4
    across = int(np.clip((_WIDEST - 2) // width, 2, len(panels)))
    down = int(np.ceil(len(panels) / across))
    drawn = figure(across * width + 2, down * height + 0.7)
    grid = drawn.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    image = None
    for index, axes in enumerate(grid.flat):
        if index >= len(panels):
            axes.axis("off")
            continue
        model, label = panels[index]
        cells = np.full((len(arms), len(targets)), np.nan)
        for i, arm in enumerate(arms):
            for j, target in enumerate(targets):
                row = values.get((model, arm, target))
                if row is not None:
                    cells[i, j] = row["estimate"]
        limit = limits["slope" if model == "slope" else "gain"]
        norm = TwoSlopeNorm(vcenter=0, vmin=-limit, vmax=limit)
        mesh = axes.pcolormesh(cells, cmap="PuOr_r", norm=norm, edgecolors="white", linewidth=1)
        image = mesh if model != "slope" else image
        for i, arm in enumerate(arms):
            for j, target in enumerate(targets):
                _number(axes, values.get((model, arm, target)), j + 0.5, i + 0.5, limit)
        axes.set_title(label, loc="left")
        axes.set_xticks(np.arange(len(targets)) + 0.5, targets, rotation=40, ha="right")
        axes.set_yticks(np.arange(len(arms)) + 0.5, arms)
        axes.tick_params(labelbottom=index + across >= len(panels))
        axes.invert_yaxis() if index == 0 else None
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.patch.set_alpha(0.0)
    if image is not None:
        bar = drawn.colorbar(image, ax=grid, shrink=0.6, pad=0.02, label="points")
        bar.outline.set_visible(False)
    return drawn


def _limit(table: pl.DataFrame) -> float:
    """The end of a colour scale: the largest value, at least half a point."""
    return float(max(np.abs(table["estimate"].drop_nans().to_numpy()).max(initial=0.0), 0.5))


def _number(axes: Axes, row: dict[str, Any] | None, x: float, y: float, limit: float) -> None:
    """The value; bold where its 95 % interval leaves out zero, italic and marked where both phases
    share data.
    """
    if row is None or not np.isfinite(row["estimate"]):
        axes.text(x, y, "·", ha="center", va="center", color=GREY)
        return
    value, low, high = (float(row[name]) for name in ("estimate", "low", "high"))
    same = bool(row["same_data"])
    axes.text(
        x,
        y,
        f"{value:.1f}{'=' if same else ''}",
        ha="center",
        va="center",
        fontsize=7,
        fontweight="bold" if (low > 0 or high < 0) and not same else "normal",
        fontstyle="italic" if same else "normal",
        color="white" if abs(value) > 0.62 * limit else "black",
    )
