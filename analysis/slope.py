"""Linear contrasts of size means with honest intervals, from replica values. All closed form, all
vectorised.

Every function takes replica values r[..., size, seed] with NaN for missing, and returns arrays over
the leading axes, so that one study and ten thousand synthetic ones run through the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.panel import Array, Mask

WELCH_SEEDS = 5
"""From this many seeds on, the variance of each size is estimated on its own (statistics §2.2)."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An estimate with its t interval. Arrays over studies or series; use `item` for one of
    them.
    """

    estimate: Array
    se: Array
    df: Array
    se_pooled: Array
    df_pooled: Array
    se_welch: Array
    df_welch: Array
    welch: Array
    """1.0 where `se` is Welch's, 0.0 where it is the pooled one."""

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """The two-sided t interval; NaN where there is no replication."""
        half = t_quantile(0.5 + level / 2, self.df) * self.se
        return self.estimate - half, self.estimate + half

    @property
    def p(self) -> Array:
        """Two-sided p-value of no effect."""
        return p_value(self.estimate, self.se, self.df)

    def item(self, index: int | tuple[int, ...] = ()) -> Contrast:
        return Contrast(**{f.name: np.asarray(getattr(self, f.name)[index]) for f in fields(self)})


def t_quantile(probability: float, df: Array) -> Array:
    """Quantile of Student's t; NaN where df is not positive."""
    df = np.asarray(df, dtype=float)
    safe = np.where(df > 0, df, 1.0)
    return np.where(df > 0, stdtrit(safe, probability), np.nan)


def p_value(estimate: Array, se: Array, df: Array) -> Array:
    """Two-sided p-value of a t statistic. NaN without replication; a zero standard error gives 0 or
    1.
    """
    df = np.asarray(df, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(se > 0, np.abs(estimate) / se, np.where(estimate == 0, 0.0, np.inf))
    p = 2 * stdtr(np.where(df > 0, df, 1.0), -statistic)
    return np.where((df > 0) & np.isfinite(se), p, np.nan)


def slope_weights(x: Array, present: Array | Mask | None = None) -> Array:
    """w[..., size] with Σ w·g = least-squares slope of the size means g on x; sizes absent from
    `present` weigh 0.

    w = (x − x̄)/S_xx (statistics §1). A linear contrast of the true gains: defined whether or not
    they are linear.
    """
    x = np.asarray(x, dtype=float)
    here = np.ones_like(x) if present is None else np.asarray(present, dtype=float)
    centre = (here * x).sum(axis=-1, keepdims=True) / here.sum(axis=-1, keepdims=True)
    centred = here * (x - centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(centred / (centred**2).sum(axis=-1, keepdims=True))


def moments(r: Array) -> tuple[Array, Array, Array]:
    """Counts, means and variances (n − 1) of each size over its replicas: three [..., size]; NaN
    where undefined.
    """
    present = np.isfinite(r)
    count = present.sum(axis=-1).astype(float)
    filled = np.where(present, r, 0.0)
    mean = np.where(count > 0, filled.sum(axis=-1) / np.maximum(count, 1), np.nan)
    residual = np.where(present, filled - np.where(count > 0, mean, 0.0)[..., None], 0.0)
    variance = np.where(count > 1, (residual**2).sum(axis=-1) / np.maximum(count - 1, 1), np.nan)
    return count, mean, variance


def contrast(r: Array, weights: Array) -> Contrast:
    """Σ w_n · mean_n with a pooled-variance and a Welch–Satterthwaite interval.

    Pooled: se² = s² Σ w²/S, df = Σ(S − 1). Welch: se² = Σ w² s_n²/S_n, df by Satterthwaite. Welch
    is used from five seeds on, or where the variances of the sizes differ beyond chance (Hartley's
    F_max at 5 %); with three seeds the largest SD exceeds twice the smallest in most studies with
    equal variances, so that ratio alone would give up most of the power for nothing (measured in
    benchmarks/calibration.py).
    """
    weights = np.broadcast_to(weights, r.shape[:-1])
    used = weights != 0
    count, mean, variance = moments(r)
    free = np.maximum(count - 1, 0)
    df_pooled = free.sum(axis=-1)
    sum_squares = np.where(count > 1, variance * free, 0.0).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.where(df_pooled > 0, sum_squares / df_pooled, np.nan)
        spread = np.where(used, weights**2 / np.maximum(count, 1), 0.0)
        estimate = np.where(used, weights * mean, 0.0).sum(axis=-1)
        se_pooled = np.sqrt(pooled * spread.sum(axis=-1))
        parts = np.where(used, spread * variance, 0.0)
        total = parts.sum(axis=-1)
        df_welch = total**2 / np.where(used, parts**2 / np.maximum(free, 1), 0.0).sum(axis=-1)
        # No spread at all at any size: the sum of the degrees of freedom is the limit.
        df_welch = np.where(total > 0, df_welch, np.where(np.isfinite(total), df_pooled, np.nan))
    se_welch = np.sqrt(total)
    possible = np.isfinite(se_welch)
    enough = np.where(used, count, np.inf).min(axis=-1) >= WELCH_SEEDS
    welch = possible & (enough | _unequal(variance, count))
    return Contrast(
        estimate=estimate,
        se=np.where(welch, se_welch, se_pooled),
        df=np.where(welch, df_welch, df_pooled),
        se_pooled=se_pooled,
        df_pooled=df_pooled,
        se_welch=se_welch,
        df_welch=df_welch,
        welch=welch.astype(float),
    )


def slope(r: Array, x: Array) -> Contrast:
    """The slope of size means per tenfold scale, over the sizes that each row of r has."""
    return contrast(r, slope_weights(x, np.asarray(np.isfinite(r).any(axis=-1))))


def equivalent(result: Contrast, margin: float) -> Mask:
    """Two one-sided tests at 5 % (TOST): whether the 90 % interval lies inside ±margin."""
    low, high = result.interval(0.90)
    return np.asarray((low > -margin) & (high < margin))


def residual_slope(r: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """Slope, residual mean square, its degrees of freedom, and k with Var(slope) = k·σ², per row of
    r[..., size, seed].

    The residual mean square takes the lack of fit of the line in with the spread between runs, df =
    4S − 2 for four sizes and S seeds (statistics §2.3). The estimate is the same contrast of size
    means as in `slope`.
    """
    count, mean, variance = moments(r)
    here = count > 0
    weights = np.where(here, slope_weights(x, here), 0.0)
    estimate = np.where(here, weights * mean, 0.0).sum(axis=-1)
    k = np.where(here, weights**2 / np.maximum(count, 1), 0.0).sum(axis=-1)
    pure = np.where(count > 1, variance * (count - 1), 0.0).sum(axis=-1)
    filled = np.where(here, mean, 0.0)
    total = count.sum(axis=-1, keepdims=True)
    centre = (count * x).sum(axis=-1, keepdims=True) / np.maximum(total, 1)
    level = (count * filled).sum(axis=-1, keepdims=True) / np.maximum(total, 1)
    dx, dy = np.where(here, x - centre, 0.0), np.where(here, filled - level, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = ((count * dx * dy).sum(axis=-1) / (count * dx**2).sum(axis=-1))[..., None] * dx
        lack = (count * (dy - fitted) ** 2).sum(axis=-1)
        df = total[..., 0] - 2
        mean_square = np.where(df > 0, (pure + lack) / df, np.nan)
    ok = here.sum(axis=-1) >= 2
    return (
        np.where(ok, estimate, np.nan),
        np.where(ok, mean_square, np.nan),
        np.where(ok, df, 0.0),
        np.where(ok, k, np.nan),
    )


def _unequal(variance: Array, count: Array) -> Mask:
    """Hartley's F_max test at 5 %: whether the largest variance of a size is beyond chance against
    the smallest.
    """
    known = np.isfinite(variance)
    if not known.any():
        return np.zeros(variance.shape[:-1], dtype=bool)
    largest = np.where(known, variance, -np.inf).max(axis=-1)
    smallest = np.where(known, variance, np.inf).min(axis=-1)
    seeds = np.where(known, count, np.inf).min(axis=-1)
    critical = np.full(seeds.shape, np.inf)
    for value in np.unique(seeds[np.isfinite(seeds)]):
        critical[seeds == value] = f_max_critical(variance.shape[-1], int(value) - 1)
    return np.asarray((known.sum(axis=-1) >= 2) & (largest > critical * smallest))


@lru_cache(maxsize=64)
def f_max_critical(num_sizes: int, df: int, draws: int = 40_000) -> float:
    """95 % point of max/min of `num_sizes` independent variances with `df` degrees of freedom, by
    seeded simulation.
    """
    if num_sizes < 2:
        return float("inf")
    variances = np.random.default_rng(0).chisquare(df, size=(draws, num_sizes))
    return float(np.quantile(variances.max(axis=1) / variances.min(axis=1), 0.95))
