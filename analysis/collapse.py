"""Collapsed runs: which ones they are, and their rates as an outcome of their own.

A run's label comes from English dev scores alone: its own (scaling/study/collapse.py, which also
decides what is run again) and those of the runs of the same size and target, with phase ii and
without. The rule is graded: a run that learned something and still lies far below its siblings is
`partial`, and is left out like one that learned nothing. What cannot be judged stays in.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import norm

from analysis.gains import NONE, NOT_POOLED
from analysis.panel import Array, Mask
from scaling.study.collapse import JUDGED_EXAMPLES, has_collapsed

JUDGED_RUNS = 6
"""Fewer runs of one size and target than this have no middle and no spread to fall out of."""
UPPER = 0.75
"""The quantile of the siblings that stands for a run that converged: up to half of them may have
collapsed, which would move the median."""
LEAST, MADS, MOST = 0.03, 6.0, 0.11
"""A run is far below its siblings from 3 points on, or from six median absolute deviations on, but
always from 11 points on: where many collapse, the deviations themselves are large."""


def far_below(dev: Array) -> Mask:
    """Which runs of dev[..., run] lie far below their siblings on the last axis.

    Scores are 0..1, NaN for none. All False below `JUDGED_RUNS`.
    """
    count = np.isfinite(dev).sum(axis=-1, keepdims=True)
    ordered = np.sort(dev, axis=-1)
    at = np.clip(np.ceil(UPPER * count).astype(int) - 1, 0, dev.shape[-1] - 1)
    centre = np.take_along_axis(ordered, at, axis=-1)
    distance = np.sort(np.abs(dev - centre), axis=-1)
    low, high = (count - 1).clip(0) // 2, count // 2
    low, high = (np.minimum(i, dev.shape[-1] - 1) for i in (low, high))
    mad = (
        np.take_along_axis(distance, low, axis=-1) + np.take_along_axis(distance, high, axis=-1)
    ) / 2
    reach = np.maximum(LEAST, np.minimum(MADS * mad, MOST))
    return np.asarray((count >= JUDGED_RUNS) & (dev < centre - reach))


def label_runs(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with a column `label`, and `collapsed` set by it.

    `converged`; `collapsed` (its own record says so); `partial` (far below its siblings); `not
    judged` (fewer than 500 English dev examples, or than 6 runs of its size and target): such runs
    stay in every estimate. Where a store is too old to tell how many dev examples there were, its
    own flag is believed. Runs with no dev score (nothing was trained) are `converged`. Controls
    and other arms that are not pooled are labelled by their own record, and are nobody's siblings.
    """
    keys = ["family", "method", "model", "target", "arm", "seed", "rerun"]
    facts = ["role", "chance", "english_dev", "english_dev_n", "collapsed"]
    runs = (
        frame.filter(pl.col("main") & (pl.col("split") == "test"))
        .group_by(keys)
        .agg(*(pl.col(name).first() for name in facts[:-1]), pl.col("collapsed").any())
        .sort(keys)
    )
    parts = []
    for _, part in runs.group_by(["family", "method", "model", "target"], maintain_order=True):
        score = part["english_dev"].to_numpy().astype(float)
        sibling = ~part["role"].is_in(list(NOT_POOLED)).to_numpy()
        low = far_below(np.where(sibling, score, np.nan))
        few = int((np.isfinite(score) & sibling).sum()) < JUDGED_RUNS
        labels = [
            _label(row, below=bool(below), few=few)
            for row, below in zip(part.iter_rows(named=True), low, strict=True)
        ]
        parts.append(part.select(keys).with_columns(pl.Series("label", labels, dtype=pl.String)))
    # Joined by the keys alone, so that of a large frame no other column is copied.
    whole = pl.concat(parts)
    joined = frame.select(keys).join(whole, on=keys, how="left", maintain_order="left")
    labelled = frame.with_columns(joined["label"].fill_null("converged"))
    return labelled.with_columns(pl.col("label").is_in(["collapsed", "partial"]).alias("collapsed"))


def label_counts(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns label, runs, of a labelled frame: trained runs in pooled arms and baselines."""
    trained = frame.filter(
        ~pl.col("role").is_in(list(NOT_POOLED)) & pl.col("english_dev").is_not_null()
    )
    runs = trained.unique(["model", "target", "arm", "seed", "rerun"])
    return runs.group_by("label").agg(pl.len().alias("runs")).sort("label")


def _label(run: dict[str, Any], *, below: bool, few: bool) -> str:
    score, num_examples = run["english_dev"], run["english_dev_n"]
    if score is None:
        return "collapsed" if run["collapsed"] else "converged"
    if num_examples is None:
        # The record's own word, and that of siblings where there are enough.
        return "collapsed" if run["collapsed"] else "partial" if below else "converged"
    if num_examples < JUDGED_EXAMPLES or (few and run["role"] not in NOT_POOLED):
        return "not judged"
    if run["collapsed"] or has_collapsed(score, run["chance"], num_examples):
        return "collapsed"
    return "partial" if below else "converged"


def collapse_table(frame: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """How many seeds collapsed, one row per size and arm.

    Columns arm, model, label, runs, collapsed, rate, low, high (Wilson 95 %).

    The unit is the (size, arm, seed): targets of one phase-ii checkpoint share its fate, so one
    checkpoint that collapsed is one event and not one per target. A seed counts as collapsed where
    any of its first runs did, or had to be run again. Baselines that were never trained are no
    runs.
    """
    trained = frame.filter((pl.col("arm") != NONE) | pl.col("english_dev").is_not_null())
    first = pl.col("collapsed").any() | (pl.col("rerun").min() > 0)
    cells = trained.group_by("model", "arm", "target", "seed").agg(first.alias("collapsed"))
    runs = cells.group_by("model", "arm", "seed").agg(pl.col("collapsed").any())
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
    """95 % interval of a proportion (Wilson 1927): both ends, shape (n,) as the counts."""
    z = float(norm.ppf(0.975))
    p = successes / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def trend_p(collapsed: list[int], runs: list[int]) -> float:
    """Two-sided exact p of a trend of collapse over sizes.

    Cochran–Armitage given the total, with scores 0, 1, 2, ….

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
