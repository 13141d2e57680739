"""Curves of several families and methods on one page, one panel each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.figures.style import BLUE, INK, bare, figure
from analysis.results import Results

_WIDE = 3


def family_curves(found: Sequence[tuple[str, Results, Mapping[str, float]]]) -> Figure:
    """Mean gain by size with its 95 % interval, a panel a family and method.

    Both axes are shared. Scale is the backbone, since the embedding is most of some small sizes;
    panels, not lines of one panel, since no level of one may be read against another's. `found` is
    the name of each, its results, and parameters without embeddings by model.
    """
    across = min(len(found), _WIDE)
    down = -(-len(found) // across)
    drawn = figure(2.4 * across + 0.8, 2.3 * down + 0.4)
    panels = drawn.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for at, axes in enumerate(panels.flat):
        if at >= len(found):
            axes.set_visible(False)
            continue
        name, results, backbones = found[at]
        means = results.means.filter(pl.col("population") == results.population)
        x = np.array([backbones[model] for model in means["model"]])
        middle = means["estimate"].to_numpy()
        # A size with one seed has no interval, and none is drawn.
        low, high = (means[side].cast(pl.Float64).fill_null(np.nan) for side in ("low", "high"))
        ends = np.nan_to_num([middle - low.to_numpy(), high.to_numpy() - middle])
        axes.set_xscale("log")
        axes.axhline(0, color=INK, lw=0.8)
        axes.errorbar(x, middle, yerr=ends, fmt="o-", color=BLUE, ms=4, lw=1.2, elinewidth=0.9)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{name} ({results.population})", fontsize=7.5)
        bare(axes, "y")
    for axes in panels[:, 0]:
        axes.set_ylabel("mean gain, points")
    for axes in panels[-1]:
        axes.set_xlabel("parameters without embeddings", fontsize=7.5)
    return drawn
