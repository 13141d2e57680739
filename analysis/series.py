"""Every (arm, target, language) on its own: the table behind the explorer."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.bootstrap import slope_bands
from analysis.panel import Panel
from analysis.per_language import spans
from analysis.slope import moments, slope


def series_table(panel: Panel, draws: int, seed: int) -> pl.DataFrame:
    """One row per series: its gains, their spread, its slope and two intervals.

    Columns arm, target, language, facts; gain_<i> per size, sd_<i> between seeds; slope,
    over_span (points from the smallest to the largest of its sizes), slope_low,
    slope_high, boot_low, boot_high.

    Intervals of single series are wide and there are many of them: they are for looking up, not for
    counting.
    """
    r = np.moveaxis(panel.y, -1, 0)
    found = slope(r, panel.x)
    several = np.isfinite(r).any(axis=-1).sum(axis=-1) >= 2
    estimate, half = np.where(several, found.estimate, np.nan), found.half()
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
