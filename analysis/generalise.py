"""The slope if its targets, languages, intermediate tasks or checkpoints are a sample of others.

The slope of the verdict is about the targets, languages, arms and checkpoints that were run. Each
of them may also be seen as drawn from more of its kind: then the spread of true slopes between them
is part of the error (a random effect). For targets, languages and arms it is estimated by moments:
the scatter of their slopes around the mean, less what runs alone make of it. The noise of a
difference between two targets of one run has no part that they share, so that noise is taken from
the replicas of these differences, not from single slopes.

    τ² = max(Σ(b_g − b̄)² − Σ Var(b_g − b̄), 0)/(G − 1),    Var = Var(these) + τ²·Σ v_g²

with v_g the weight of level g; half-widths add in quadrature, that of τ on G − 1 degrees of
freedom. Checkpoints have no replicates: sizes scatter around the line, and that scatter is their
error (sensitivity.size_means_slope).
"""

from __future__ import annotations

import numpy as np

from analysis.estimands import Estimate, scalar
from analysis.panel import Array, Panel, replicas
from analysis.sensitivity import CHECKPOINTS, size_means_slope
from analysis.slope import contrast, slope_weights, t_quantile

FACTORS = {
    "target": "targets as a sample of tasks",
    "language": "languages as a sample of languages",
    "arm": "arms as a sample of intermediate tasks",
}
ALL = "tasks, languages, arms and checkpoints as samples"
LEAST = 3
"""Levels of a factor below which their spread is not known."""


def spread_between(panel: Panel, factor: str) -> tuple[float, int]:
    """(τ²·Σ v_g², number of levels) of a factor: what its sampling adds to the slope's variance.

    NaN below `LEAST` levels or without replication. `panel` is balanced.
    """
    codes = panel.series[factor].to_numpy()
    levels = np.unique(codes)
    if len(levels) < LEAST:
        return float("nan"), len(levels)
    weights = panel.weights
    share = np.array([weights[codes == level].sum() for level in levels])
    r = np.stack(
        [
            replicas(panel.y, np.where(codes == level, weights, 0.0) / of)
            for level, of in zip(levels, share, strict=True)
        ]
    )
    return sampled(r, panel.x, share), len(levels)


def sampled(r: Array, x: Array, share: Array) -> float:
    """τ²·Σ v_g² of levels with replica values r[level, size, seed] and weights share[level]."""
    w = slope_weights(x)
    away = r - r.mean(axis=0)
    found = contrast(away, w, x)
    scatter = float((found.estimate**2).sum())
    # Welch's variance is unbiased whatever the noise of the sizes is.
    noise = float((found.se_welch**2).sum())
    tau2 = max((scatter - noise) / (len(r) - 1), 0.0)
    return tau2 * float((share**2).sum())


def widths(panel: Panel, level: float = 0.95) -> dict[str, float]:
    """Half-width of the slope's interval under each view; views that the data cannot carry lack.

    The names of `FACTORS`, `CHECKPOINTS`, and `ALL` of those that there are, at once.
    """
    r = replicas(panel.y, panel.weights)
    half = float(contrast(r, slope_weights(panel.x), panel.x).half(level))
    out: dict[str, float] = {}
    added = []
    for factor, name in FACTORS.items():
        extra, num = spread_between(panel, factor)
        if np.isfinite(extra):
            more = float(t_quantile(0.5 + level / 2, np.asarray(num - 1))) * np.sqrt(extra)
            out[name] = float(np.hypot(half, more))
            added.append(more)
    if panel.num_sizes > 2:
        _, se, df = size_means_slope(r, panel.x)
        wide = float(t_quantile(0.5 + level / 2, np.asarray(df))) * se
        out[CHECKPOINTS] = wide
        if len(added) > 1:
            out[ALL] = float(np.sqrt(max(wide, half) ** 2 + np.square(added).sum()))
    return out


def generalised(panel: Panel) -> list[Estimate]:
    """The slope in points under each view but `CHECKPOINTS`, with its wider intervals."""
    r = replicas(panel.y, panel.weights)
    whole = contrast(r, slope_weights(panel.x), panel.x)
    wide, narrower = widths(panel), widths(panel, 0.9)
    out = []
    for name, half in wide.items():
        if name == CHECKPOINTS:
            continue
        base = scalar(whole, panel, r, name, "slope", "points")
        middle, half90, nan = base.estimate, narrower[name], float("nan")
        changed = {
            "low": middle - half,
            "high": middle + half,
            "low90": middle - half90,
            "high90": middle + half90,
            **dict.fromkeys(("se", "df", "p"), nan),
        }
        out.append(Estimate(**{**base.__dict__, **changed, "method": "random effects"}))
    return out
