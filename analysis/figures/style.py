"""One look for all figures: colours that survive colour blindness, dark mode and print.

Files carry no date.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito 2008; never red against green, and always a second cue (shape, position) beside the
# colour.
VERMILLION, ORANGE, BLUE, SKY, GREY = "#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#8a8f98"
# Exact values that inline figures turn into variables of the page, so that they follow light and
# dark.
INK, GRID, BAND = "#1b1f24", "#d9dce1", "#eceff3"
_VARIABLES = {INK: "var(--ink)", GRID: "var(--grid)", BAND: "var(--band)", GREY: "var(--muted)"}

TIER_COLOURS = {
    "unseen": VERMILLION,
    "low": ORANGE,
    "mid": SKY,
    "high": BLUE,
    "unknown": GREY,
}
TIER_MARKERS = {"unseen": "X", "low": "o", "mid": "s", "high": "D", "unknown": "P"}

_RC: Any = {
    "svg.hashsalt": "scaling",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.4,
}


@contextmanager
def look() -> Iterator[None]:
    """The settings under which every figure is drawn and saved; nothing global is left changed."""
    with matplotlib.rc_context(_RC):
        yield


def figure(width: float, height: float) -> Figure:
    """A figure in inches with no background, so that the page's own shows through."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.patch.set_alpha(0.0)
    return made


def bare(axes: Axes, grid: str = "x") -> None:
    """Axes without box, with a light grid along one axis."""
    axes.patch.set_alpha(0.0)
    if grid:
        axes.grid(axis=grid)  # type: ignore[arg-type]
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")


def save(drawn: Figure, folder: Path, name: str) -> str:
    """Writes NAME.svg and NAME.pdf and returns the SVG for the page: same input, same bytes."""
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    (folder / f"{name}.svg").write_text(text.getvalue(), encoding="utf-8")
    drawn.set_layout_engine("none")  # laid out by the first of the two files
    drawn.savefig(
        folder / f"{name}.pdf", format="pdf", metadata={"CreationDate": None, "Creator": None}
    )
    return inline(text.getvalue(), name)


def inline(svg: str, name: str) -> str:
    """The <svg> element for HTML: no prolog, ids of its own, page colours, scaled by CSS."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = re.sub(re.escape(colour), variable, svg, flags=re.I)
    svg = re.sub(r"font: (?:\w+ )?([\d.]+)px '[^']*'[^;\"]*", r"font-size: \1px", svg)
    width = re.search(r'<svg[^>]*\bwidth="([\d.]+)pt"', svg)
    size = f"{float(width.group(1)) * 4 / 3:.0f}px" if width else "100%"
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", svg, count=1)
    return svg.replace(
        "<svg", f'<svg style="max-width:{size}" aria-hidden="true" focusable="false"', 1
    )
