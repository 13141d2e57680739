"""F1: the pooled slopes on the three scales of a verdict, with the margin of equivalence."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.estimands import Estimate
from analysis.figures.style import BAND, BLUE, GREY, INK, ORANGE, SKY, VERMILLION, bare, figure
from analysis.gains import JUDGED
from analysis.results import Results

_LOOKS = {
    "low-resource": (INK, "D"),
    "other languages": (GREY, "D"),
    "all zero-shot": (INK, "o"),
    "unseen (tier)": (VERMILLION, "X"),
    "low (tier)": (ORANGE, "o"),
    "mid (tier)": (SKY, "s"),
    "high (tier)": (BLUE, "D"),
}
_UNITS = {
    "points": "points per tenfold scale",
    "logit": "log odds",
    "room": "log odds, chance to ceiling",
}


def strip(results: Results) -> Figure:
    """F1: the slope of every group of languages, a panel per scale of a verdict."""
    rows = [e.name for e in results.estimates["points"] if e.quantity == "slope"]
    drawn = figure(7.2, 0.9 + 0.36 * len(rows))
    both = drawn.subplots(1, 3, sharey=True)
    for axes, scale in zip(both, JUDGED, strict=True):
        found = {e.name: e for e in results.estimates[scale] if e.quantity == "slope"}
        margin = results.margins[scale]
        axes.axvspan(-margin, margin, color=BAND, lw=0, zorder=0)
        axes.axvline(0, color=INK, lw=0.8)
        for place, name in enumerate(rows):
            if name in found:
                _interval(axes, found[name], -place)
        bare(axes)
        axes.set_xlabel(_UNITS[scale])
        axes.set_ylim(-len(rows) + 0.5, 0.5)
        axes.margins(x=0.08)
    both[0].set_yticks([-i for i in range(len(rows))], rows)
    for label in both[0].get_yticklabels():
        if label.get_text() == results.population:
            label.set_fontweight("bold")
    return drawn


def _interval(axes: Axes, e: Estimate, y: float) -> None:
    colour, marker = _LOOKS.get(e.name, (INK, "o"))
    if np.isfinite(e.low):
        axes.plot([e.low, e.high], [y, y], color=colour, lw=1.4, solid_capstyle="butt")
        axes.plot([e.low90, e.high90], [y, y], color=colour, lw=3.2, solid_capstyle="butt")
    axes.plot([e.estimate], [y], marker=marker, color=colour, ms=6.5, mec="white", mew=0.6)
