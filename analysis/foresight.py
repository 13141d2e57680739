"""Would the small sizes have told you? Choices made at each size against those of the largest.

Decision accuracy in the sense of Magnusson et al. 2025 (DataDecide): the share of choices between
two arms that come out as at the largest size.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl

from analysis.panel import Array, Panel, replicas


def decisions(panel: Panel) -> pl.DataFrame:
    """One row per size of a balanced panel of gains in points.

    Columns label; `pairs`, `order`: choices between two arms for a target, and the share that come
    out as at the largest size; `choices`, `helps`: the same between an arm and no phase ii; `lost`:
    points lost at the largest size by the target's best arm of this size (or none) against the
    best of the largest, chosen there by the other seeds. In the row of the largest size each seed
    is asked against the mean of the others: what is not better than that is noise. NaN where there
    is nothing to choose, or one seed.
    """
    y = _by_arm(panel)
    mean = _mean(y)
    rows = []
    for size, label in enumerate(panel.labels):
        last = size == len(panel.labels) - 1
        asked, truth = (_each_seed(y[-1])) if last else (mean[size][None], mean[-1][None])
        order = _agreement(asked, truth, list(combinations(range(1, mean.shape[1]), 2)))
        helps = _agreement(asked, truth, [(0, arm) for arm in range(1, mean.shape[1])])
        rows.append(
            {
                "label": label,
                "pairs": order[0],
                "order": order[1],
                "choices": helps[0],
                "helps": helps[1],
                "lost": float("nan") if last else _lost(mean[size], y[-1]),
            }
        )
    return pl.DataFrame(rows)


def _by_arm(panel: Panel) -> Array:
    """Mean gain over languages, [size, seed, 1 + arm, target]; arm 0 is no phase ii, gain 0."""
    arms = panel.series["arm"].unique().sort().to_list()
    targets = panel.series["target"].unique().sort().to_list()
    y = np.full((panel.num_sizes, len(panel.seeds), 1 + len(arms), len(targets)), np.nan)
    for i, arm in enumerate(arms, start=1):
        for j, target in enumerate(targets):
            own = panel.where((pl.col("arm") == arm) & (pl.col("target") == target))
            if len(own.series):
                y[:, :, i, j] = replicas(own.y, np.full(len(own.series), 1 / len(own.series)))
    there = np.isfinite(y[:, :, 1:]).any(axis=2)
    y[:, :, 0] = np.where(there, 0.0, np.nan)
    return y


def _mean(y: Array) -> Array:
    """Over seeds, [size, arm, target]; NaN where there is none."""
    there = np.isfinite(y)
    total = np.where(there, y, 0.0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan)


def _each_seed(y: Array) -> tuple[Array, Array]:
    """Every seed's values y[seed, arm, target], and the means of the other seeds."""
    there = np.isfinite(y)
    filled = np.where(there, y, 0.0)
    total, num = filled.sum(axis=0), there.sum(axis=0)
    others = np.where(num - there > 0, (total - filled) / np.maximum(num - there, 1), np.nan)
    return y, others


def _agreement(asked: Array, truth: Array, pairs: list[tuple[int, int]]) -> tuple[int, float]:
    """(choices, share of them that agree), of the signs of differences between two arms.

    asked, truth: [seed, arm, target]. A tie on either side is half right.
    """
    total, right = 0, 0.0
    for one, other in pairs:
        a, b = asked[:, one] - asked[:, other], truth[:, one] - truth[:, other]
        known = np.isfinite(a) & np.isfinite(b)
        product = np.sign(a[known]) * np.sign(b[known])
        total += int(known.any(axis=0).sum())
        right += float(((1 + product) / 2).sum()) / max(len(asked), 1)
    num = sum(
        int((np.isfinite(asked[:, a] - asked[:, b]) & np.isfinite(truth[:, a] - truth[:, b])).sum())
        for a, b in pairs
    ) / max(len(asked), 1)
    return total, right / num if num else float("nan")


def _lost(small: Array, largest: Array) -> float:
    """Mean over targets of what the small size's choice loses at the largest size, points.

    small: [arm, target] means; largest: [seed, arm, target].
    """
    _, others = _each_seed(largest)
    lost = []
    for target in range(small.shape[1]):
        here = np.isfinite(small[:, target]) & np.isfinite(others[..., target]).all(axis=0)
        here &= np.isfinite(largest[..., target]).all(axis=0)
        if here.sum() < 2:
            continue
        value, rest = largest[:, here, target], others[:, here, target]
        best = value[np.arange(len(value)), rest.argmax(axis=1)].mean()
        lost.append(best - value[:, small[here, target].argmax()].mean())
    return float(np.mean(lost)) if lost else float("nan")
