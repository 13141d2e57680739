"""Linear contrasts of size means with honest intervals, from replica values.

All closed form, all vectorised.

Every function takes replica values r[..., size, seed] with NaN for missing, and returns arrays over
the leading axes, so that one study and ten thousand synthetic ones run through the same code.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.noise import WELCH_SEEDS, half_width, posterior, tail
from analysis.panel import Array, Mask

_ROUNDING = 1e-9
"""An SD between replicas below this, in points or log odds, is rounding: one example of a million
moves a score by more."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An estimate and the distribution of its error.

    Arrays over studies or series, [...] where nothing else is said; use `item` for one of them.
    """

    estimate: Array
    weight: Array
    """[..., shape]: probability of each shape of the variances (analysis/noise.py)."""
    spread: Array
    """[..., shape]: standard error given the shape. NaN where some size has a single replica, and
    where the replicas of every size are identical."""
    df: Array
    welch: Mask
    """True where Welch's variance is used: five replicas or more at every size."""
    se_pooled: Array
    df_pooled: Array
    se_welch: Array
    df_welch: Array

    def half(self, level: float = 0.95) -> Array:
        """Half of the width of the two-sided interval, [...]; NaN where there is no replication."""
        exact = t_quantile(0.5 + level / 2, self.df) * self.spread[..., 0]
        if self.welch.all():
            return np.asarray(exact)
        mixed = half_width(
            self.weight, np.where(self.welch[..., None], np.nan, self.spread), self.df, level
        )
        return np.where(self.welch, exact, mixed)

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Both ends of the two-sided interval, [...]; NaN where there is no replication."""
        half = self.half(level)
        return self.estimate - half, self.estimate + half

    @property
    def se(self) -> Array:
        """The standard error whose t interval on `df` is the 95 % interval, [...]."""
        return np.asarray(self.half() / t_quantile(0.975, self.df))

    @property
    def p(self) -> Array:
        """Two-sided p-value of no effect, [...]."""
        mixed = tail(self.estimate, self.weight, self.spread, self.df)
        return np.where(self.welch, p_value(self.estimate, self.spread[..., 0], self.df), mixed)

    def item(self, index: int | tuple[int, ...] = ()) -> Contrast:
        """The contrast of one study or series, by its index in the leading axes."""
        return Contrast(**{f.name: np.asarray(getattr(self, f.name)[index]) for f in fields(self)})

    def equal_variances(self) -> Contrast:
        """The same estimate with the variance pooled over sizes.

        The rule that a reader may know best, shown beside the other.
        """
        return replace(
            self,
            spread=np.broadcast_to(self.se_pooled[..., None], self.spread.shape),
            df=self.df_pooled,
            welch=np.ones_like(self.welch),
        )


def t_quantile(probability: float, df: Array) -> Array:
    """Quantile of Student's t, [...] as df; NaN where df is not positive."""
    df = np.asarray(df, dtype=float)
    safe = np.where(df > 0, df, 1.0)
    return np.where(df > 0, stdtrit(safe, probability), np.nan)


def p_value(estimate: Array, se: Array, df: Array) -> Array:
    """Two-sided p-value of a t statistic, [...].

    NaN without replication; a zero standard error gives 0 or 1.
    """
    df = np.asarray(df, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(se > 0, np.abs(estimate) / se, np.where(estimate == 0, 0.0, np.inf))
    p = 2 * stdtr(np.where(df > 0, df, 1.0), -statistic)
    return np.where((df > 0) & np.isfinite(se), p, np.nan)


def slope_weights(x: Array, present: Array | Mask | None = None) -> Array:
    """w[..., size] with Σ w·g = least-squares slope of the size means g on x [size].

    Sizes absent from `present` weigh 0.

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
    """Counts, means and variances (n − 1) of each size over its replicas.

    Three [..., size]; NaN where undefined.
    """
    present = np.isfinite(r)
    count = present.sum(axis=-1).astype(float)
    filled = np.where(present, r, 0.0)
    mean = np.where(count > 0, filled.sum(axis=-1) / np.maximum(count, 1), np.nan)
    residual = np.where(present, filled - np.where(count > 0, mean, 0.0)[..., None], 0.0)
    variance = np.where(count > 1, (residual**2).sum(axis=-1) / np.maximum(count - 1, 1), np.nan)
    return count, mean, variance


def contrast(r: Array, weights: Array, x: Array, *, welch_seeds: float = WELCH_SEEDS) -> Contrast:
    """Σ w_n · mean_n over sizes, with the error that its replicas allow to state.

    Five replicas or more at every size: Welch–Satterthwaite, se² = Σ w² s²/S. Fewer: the mixture of
    t distributions of analysis/noise.py, which holds its coverage when large sizes are noisier and
    have fewer seeds. A size with one replica gives no interval: nothing says how far another run
    of it would land. Nor do replicas that are identical at every size: on scores of few examples
    runs coincide by chance, and an interval without width would test anything. Where only the
    sizes that count are without spread, Welch's variance gives way to the mixture, which knows
    the spread at the others.

    Args:
        r: Replica values [..., size, seed], NaN for missing.
        weights: [size] or [..., size].
        x: log10 scale of the sizes, [size].
        welch_seeds: Replicas at every size from which on Welch's variance is used.
    """
    weights = np.broadcast_to(weights, r.shape[:-1])
    used = weights != 0
    count, mean, variance = moments(r)
    free = np.maximum(count - 1, 0)
    df_pooled = free.sum(axis=-1)
    sum_squares = np.where(count > 1, variance * free, 0.0).sum(axis=-1)
    varied = sum_squares > df_pooled * _ROUNDING**2
    replicated = np.asarray(np.where(used, count >= 2, True).all(axis=-1)) & varied
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.where((df_pooled > 0) & replicated, sum_squares / df_pooled, np.nan)
        share = np.where(used, weights**2 / np.maximum(count, 1), 0.0)
        estimate = np.where(used, weights * mean, 0.0).sum(axis=-1)
        parts = np.where(used, share * variance, 0.0)
        total = parts.sum(axis=-1)
        df_welch = total**2 / np.where(used, parts**2 / np.maximum(free, 1), 0.0).sum(axis=-1)
        weight, level, df, v = posterior(count, variance, np.asarray(x))
        spread = np.sqrt(level * (share @ v.T))
    se_welch = np.sqrt(total)
    spreads = total > share.sum(axis=-1) * _ROUNDING**2
    welch = replicated & spreads & (np.where(used, count, np.inf).min(axis=-1) >= welch_seeds)
    spread = np.where(welch[..., None], se_welch[..., None], spread)
    return Contrast(
        estimate=estimate,
        weight=weight,
        spread=np.where(replicated[..., None], spread, np.nan),
        df=np.where(welch, df_welch, np.where(replicated, df, np.nan)),
        welch=welch,
        se_pooled=np.sqrt(pooled * share.sum(axis=-1)),
        df_pooled=np.where(replicated, df_pooled, np.nan),
        se_welch=se_welch,
        df_welch=df_welch,
    )


def slope(r: Array, x: Array, *, welch_seeds: float = WELCH_SEEDS) -> Contrast:
    """The slope of size means per tenfold scale, over the sizes that r[..., size, seed] has.

    Each row of r, [size, seed], is contrasted on its own sizes.
    """
    present = np.asarray(np.isfinite(r).any(axis=-1))
    return contrast(r, slope_weights(x, present), x, welch_seeds=welch_seeds)


def equivalent(result: Contrast, margin: float) -> Mask:
    """Two one-sided tests at 5 % (TOST): whether the 90 % interval lies inside ±margin."""
    low, high = result.interval(0.90)
    return np.asarray((low > -margin) & (high < margin))
