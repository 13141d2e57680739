"""Every (arm, target, language) on its own: the table behind the explorer."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.bootstrap import slope_bands
from analysis.panel import Array, Panel
from analysis.per_language import spans
from analysis.slope import moments, slope

_BLOCK = 4096
"""Series at a time: each has a few hundred shapes of the noise (analysis/noise.py)."""


def series_table(panel: Panel, draws: int, seed: int) -> pl.DataFrame:
    """One row per series: its gains, their spread, its slope and two intervals.

    Columns arm, target, language, facts; gain_<i> per size, sd_<i> between seeds; slope,
    over_span (points from the smallest to the largest of its sizes), slope_low,
    slope_high, boot_low, boot_high.

    Intervals of single series are wide and there are many of them: they are for looking up, not for
    counting.
    """
    r = np.moveaxis(panel.y, -1, 0)
    several = np.isfinite(r).any(axis=-1).sum(axis=-1) >= 2
    found = [_slopes(r[at : at + _BLOCK], panel.x) for at in range(0, len(r), _BLOCK)]
    estimate, half = (np.concatenate(parts) for parts in zip(*found, strict=True))
    estimate = np.where(several, estimate, np.nan)
    _, mean, spread = moments(r)
    boot_low, boot_high = slope_bands(panel.y, panel.x, draws, seed)
    columns = {f"gain_{i}": mean[:, i] for i in range(panel.num_sizes)}
    columns |= {f"sd_{i}": np.sqrt(spread[:, i]) for i in range(panel.num_sizes)}
    columns |= {
        "slope": estimate,
        "over_span": estimate * spans(r, panel.x),
        "slope_low": estimate - half,
        "slope_high": estimate + half,
        "boot_low": np.where(np.isfinite(half), boot_low, np.nan),
        "boot_high": np.where(np.isfinite(half), boot_high, np.nan),
    }
    return panel.series.with_columns(*(pl.Series(name, values) for name, values in columns.items()))


def _slopes(r: Array, x: Array) -> tuple[Array, Array]:
    """Slopes of r[series, size, seed] and half of the widths of their intervals, [series] each."""
    found = slope(r, x)
    return found.estimate, found.half()
