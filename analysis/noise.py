"""How noisy each size is, when two to five seeds must say it: the variance rule of every interval.

The seeds of a study are few, large sizes have fewer of them than small ones, and large models are
often noisier. A pooled variance then comes from the quiet sizes and covers 71 % where 95 % is
promised; Welch's variance has one degree of freedom at a size of two seeds and is too wide to be
of use. Between them stands a prior on how variances differ between sizes:

    log σᵢ² = c + b·uᵢ + δ·[i = j],   u = position of the size on the axis, from −½ to +½,

    b ~ N(1.5, 2.5²) log ratio of the variances of the largest and the smallest size. One SD of it
                   spans ratios of SDs from 0.6 to 7.4, and noise that rises is a little likelier.
    δ ~ N(0, 4.2²)  with probability .9, at one size j that obeys no trend; all sizes alike likely.
    c              flat: nothing is assumed about the level of the noise.

The level integrates out in closed form (Gelman et al. 2013, §3.2). Given the shape of the variances
a contrast has a t distribution with Σ(Sᵢ − 1) degrees of freedom, and the marginal likelihood
of a shape v is Π vᵢ^(−fᵢ/2) · (Σ fᵢ sᵢ²/vᵢ)^(−Σf/2), fᵢ = Sᵢ − 1. So an interval is a quantile of a
mixture of t distributions over a grid of shapes: no sampling, microseconds. Nothing in it depends
on how large the scores are or how long the axis is. Its coverage is that of an ordinary interval,
measured by `make bench-calibration`, not a matter of belief.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.panel import Array

WELCH_SEEDS = 5
"""From this many seeds at every size on, each size shows its own variance and no prior is needed:
Welch's interval covers 94 to 96 % there, whatever the variances are."""
TREND_MEAN, TREND_SD = 1.5, 2.5
JUMP_SHARE, JUMP_SD = 0.9, 4.2
TAIL = 1.2
"""Posterior tails of 1.2·α are quoted as α: intervals of the bare mixture are a little wide where
variances are equal, and this gives the power back (tuned on the audit's conditions)."""

_TRENDS = np.arange(-8.0, 10.6, 1.55)
_JUMPS = np.array([-5.0, -2.2, 2.2, 5.0])
_RATIOS = np.concatenate([[0.0], np.geomspace(1e-3, 1e4, 3000)])
_BLOCK = 4_000_000


def shapes(x: Array) -> tuple[Array, Array]:
    """The grid of variance shapes [shape, size] on the axis x [size], and log prior [shape]."""
    return _shapes(tuple(np.asarray(x, dtype=float).tolist()))


@lru_cache(maxsize=64)
def _shapes(x: tuple[float, ...]) -> tuple[Array, Array]:
    place = np.array(x)
    span = np.ptp(place)
    u = (place - place.mean()) / (span if span > 0 else 1.0)
    trend = np.exp(-0.5 * ((_TRENDS - TREND_MEAN) / TREND_SD) ** 2)
    jump = np.exp(-0.5 * (_JUMPS / JUMP_SD) ** 2)
    jump = JUMP_SHARE * jump / (jump.sum() * len(x))
    # Every shape is a trend and, at no size or at one, a jump.
    odd = np.vstack([np.zeros((1, len(x)))] + [size * _JUMPS[:, None] for size in np.eye(len(x))])
    share = np.concatenate([[1 - JUMP_SHARE], np.tile(jump, len(x))])
    log_shape = _TRENDS[:, None, None] * u + odd
    log_prior = np.log(trend / trend.sum())[:, None] + np.log(share)
    v, prior = np.exp(log_shape.reshape(-1, len(x))), log_prior.reshape(-1)
    v.flags.writeable = prior.flags.writeable = False
    return v, prior


def posterior(count: Array, variance: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """What the replicas say about the noise: probability of each shape and the level given it.

    `count`, `variance` [..., size]: replicas and their variance (n − 1) at each size. Returns
    weight [..., shape] (sum 1), level [..., shape] with σᵢ² = level·vᵢ, the degrees of freedom
    [...], and the shapes v [shape, size]. Where all variances are zero the level is zero; where no
    size has two replicas everything is NaN.
    """
    v, prior = shapes(x)
    free = np.maximum(count - 1, 0.0)
    df = free.sum(axis=-1)
    squares = np.where(free > 0, free * np.where(np.isfinite(variance), variance, 0.0), 0.0)
    total = squares @ (1 / v).T
    with np.errstate(divide="ignore", invalid="ignore"):
        log = prior - 0.5 * (free @ np.log(v).T) - 0.5 * df[..., None] * np.log(total)
        log = np.where(total > 0, log, prior)
        weight = np.exp(log - log.max(axis=-1, keepdims=True))
        level = total / df[..., None]
    return weight / weight.sum(axis=-1, keepdims=True), level, df, v


def half_width(weight: Array, spread: Array, df: Array, level: float) -> Array:
    """h [...] with P(|t| ≤ h) = 1 − TAIL·(1 − level) under Σ weight·t(df)·spread.

    Bisection on a table of Student's distribution, to 1e-5 of its start; NaN where df is not
    positive or a spread is not finite.

    Args:
        weight: Probability of each shape of the variances, [..., shape].
        spread: Standard error given the shape, [..., shape].
        df: Degrees of freedom, [...].
        level: Of the two-sided interval, as 0.95.
    """
    inside = 1 - TAIL * (1 - level)
    shape = df.shape
    k = weight.shape[-1]
    flat_w, flat_s, flat_df = weight.reshape(-1, k), spread.reshape(-1, k), df.reshape(-1)
    out = np.full(flat_df.shape, np.nan)
    known = np.isfinite(flat_s).all(axis=-1) & (flat_df > 0)
    for value in np.unique(flat_df[known]):
        rows = np.flatnonzero(known & (flat_df == value))
        step = max(_BLOCK // k, 1)
        for start in range(0, len(rows), step):
            at = rows[start : start + step]
            out[at] = _solve(flat_w[at], flat_s[at], float(value), inside)
    return out.reshape(shape)


def _solve(weight: Array, spread: Array, df: float, inside: float) -> Array:
    table = _distribution(df)
    one = float(stdtrit(df, 0.5 + inside / 2))
    low, high = one * spread.min(axis=-1), one * spread.max(axis=-1)
    inverse = 1 / np.maximum(spread, 1e-300)
    for _ in range(40):
        if (high - low <= 1e-6 * high).all():
            break
        middle = (low + high) / 2
        covered = (weight * np.interp(middle[:, None] * inverse, _RATIOS, table)).sum(axis=-1)
        low, high = (
            np.where(covered < inside, middle, low),
            np.where(covered < inside, high, middle),
        )
    return np.asarray((low + high) / 2)


@lru_cache(maxsize=256)
def _distribution(df: float) -> Array:
    """P(|t(df)| ≤ ratio) on the table of ratios."""
    return np.asarray(2 * stdtr(df, _RATIOS) - 1)


def tail(estimate: Array, weight: Array, spread: Array, df: Array) -> Array:
    """Two-sided p-value of no effect under the mixture, [...]; a spread of zero gives 0 or 1.

    Args:
        estimate: [...].
        weight: Probability of each shape of the variances, [..., shape].
        spread: Standard error given the shape, [..., shape].
        df: Degrees of freedom, [...].
    """
    size = np.abs(estimate)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(spread > 0, size / spread, np.where(size == 0, 0.0, np.inf))
    each = 2 * stdtr(np.where(df > 0, df, 1.0)[..., None], -ratio)
    p = np.minimum((weight * each).sum(axis=-1) / TAIL, 1.0)
    p = np.where(estimate == 0, 1.0, p)
    return np.where((df > 0) & np.isfinite(spread).all(axis=-1), p, np.nan)
