"""The figures F0–F12 of the report, one function each.

Each is Results → Figure, or None where there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis.figures.checks import ceiling, collapse, power, specification
from analysis.figures.heatmap import heatmap
from analysis.figures.languages import forest, multiples, resources
from analysis.figures.size import size_curve
from analysis.figures.strip import strip
from analysis.figures.views import foresight, price, together
from analysis.results import Results


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of the report: where it is found and what draws it."""

    name: str
    """File name without suffix, and anchor in the report."""
    title: str
    draw: Callable[[Results], Figure | None]
    wide: bool = False
    """Scrolls sideways on a phone instead of shrinking."""


DRAWINGS: tuple[Drawing, ...] = (
    Drawing(name="f0_size", title="The gain against size", draw=size_curve),
    Drawing(name="f1_verdict", title="Change of the gain per tenfold scale", draw=strip),
    Drawing(
        name="f2_languages",
        title="The gain of every language over scale",
        draw=multiples,
        wide=True,
    ),
    Drawing(name="f3_forest", title="Slopes of all languages", draw=forest),
    Drawing(
        name="f4_heatmap", title="Gain by intermediate and target task", draw=heatmap, wide=True
    ),
    Drawing(name="f5_resources", title="Slope against pretraining text", draw=resources),
    Drawing(name="f6_collapse", title="Collapsed runs", draw=collapse),
    Drawing(name="f7_ceiling", title="Gain against the score without phase ii", draw=ceiling),
    Drawing(
        name="f8_specification", title="The same question, asked in other ways", draw=specification
    ),
    Drawing(name="f9_power", title="What this design can see", draw=power),
    Drawing(name="f10_price", title="What a point of gain costs", draw=price),
    Drawing(name="f11_together", title="Languages that gain together", draw=together, wide=True),
    Drawing(name="f12_foresight", title="What the small sizes foretell", draw=foresight),
)
