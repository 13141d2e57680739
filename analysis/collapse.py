"""Collapsed runs as an outcome of their own: rates per size and arm, and whether they change with
scale.
"""

from __future__ import annotations

from math import comb

import numpy as np
import polars as pl
from scipy.stats import norm

from analysis.gains import NONE


def collapse_table(frame: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """Columns arm, model, label, runs, collapsed, rate, low, high (Wilson 95 %), one row per size
    and arm.

    A run is the first one of an (arm, target, seed), whatever became of its re-runs; a phase-ii
    collapse counts in every target that starts from it, also where only the re-run was scored.
    """
    first = pl.col("collapsed").any() | (pl.col("rerun").min() > 0)
    runs = frame.group_by("model", "arm", "target", "seed").agg(first.alias("collapsed"))
    table = runs.group_by("arm", "model").agg(pl.len().alias("runs"), pl.col("collapsed").sum())
    low, high = wilson(table["collapsed"].to_numpy(), table["runs"].to_numpy())
    table = table.with_columns(
        (pl.col("collapsed") / pl.col("runs")).alias("rate"),
        pl.Series("low", low),
        pl.Series("high", high),
    )
    order = sizes.select("model", "label").with_row_index("order")
    return table.join(order, on="model").sort(pl.col("arm") != NONE, "arm", "order").drop("order")


def wilson(
    successes: np.ndarray[tuple[int], np.dtype[np.int64]],
    total: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]
]:
    """95 % interval of a proportion (Wilson 1927)."""
    z = float(norm.ppf(0.975))
    p = successes / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def trend_p(collapsed: list[int], runs: list[int]) -> float:
    """Two-sided exact p of a trend of collapse over sizes: Cochran–Armitage given the total, with
    scores 0, 1, 2, ….

    The null distribution of Σ score·collapsed is built by convolution of hypergeometric weights. 1
    where nothing or everything collapsed.
    """
    total, size = sum(collapsed), sum(runs)
    if total in (0, size):
        return 1.0
    ways: dict[tuple[int, int], int] = {(0, 0): 1}
    for score, num in enumerate(runs):
        grown: dict[tuple[int, int], int] = {}
        for (count, value), ways_here in ways.items():
            for k in range(min(num, total - count) + 1):
                key = count + k, value + score * k
                grown[key] = grown.get(key, 0) + ways_here * comb(num, k)
        ways = grown
    final = {value: w for (count, value), w in ways.items() if count == total}
    everything = sum(final.values())
    centre = sum(value * w for value, w in final.items()) / everything
    seen = abs(sum(score * k for score, k in enumerate(collapsed)) - centre)
    return min(
        1.0, sum(w for value, w in final.items() if abs(value - centre) >= seen - 1e-9) / everything
    )
