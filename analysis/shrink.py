"""Per-language slopes: moderated variances, and empirical-Bayes shrinkage.

The shrinkage knows the noise that languages share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import polygamma, psi, stdtr

from analysis.panel import Array
from analysis.slope import Contrast, moments
from analysis.slope import slope as contrast_of_slopes

MIN_LANGUAGES = 5
"""Fewer slopes than this carry no distribution to shrink towards."""
_ITERATIONS = 60


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Slopes per language, arrays [..., language].

    `eb_*` are shrunk, NaN where there are too few languages.
    """

    slope: Array
    se: Array
    """`slope` ± t·se on `df` is the 95 % interval of analysis/noise.py."""
    df: Array
    p: Array
    moderated: Array
    """Variance of the slope, drawn towards that of the other languages."""
    moderated_df: Array
    widening: Array
    """By how much the interval is wider, as a variance, since the shape of the noise is unknown."""
    eb: Array
    eb_se: Array
    eb_df: Array
    false_sign: Array
    """Probability that the true slope has the other sign than `eb`."""
    tau: Array
    """SD of the true slopes over languages, [...]."""
    centre: Array
    """Mean of the true slopes, [...]."""


def languages(r: Array, x: Array) -> Languages:
    """From replica values per language, r[..., language, size, seed].

    Each slope has the interval of every other contrast. For shrinkage its variance v_l is the
    posterior geometric mean over the shapes of the noise, moderated over languages (`squeeze`).
    Then (statistics §2.3; Morris 1983 for the variance), with V̄ the variance of the slope of the
    mean over languages:
      c   = max(V̄ − (mean ṽ − V̄)/(L − 1), 0), the part that all languages of a run share;
      d_l = max(ṽ_l − c, 0.1 ṽ_l);  τ² by Paule–Mandel: Σ (b_l − m)²/(τ² + d_l) = L − 1;
      β̃_l = m + w_M (b_l − m), w_l = τ²/(τ² + d_l), w_M = 1 − (L − 3)/(L − 1)·(1 − w_l);
      Var = w_M d_l + (1 − w_M)²/Σ(τ² + d_l)⁻¹ + c + 2/(L − 3)·(1 − w_l)²(b_l − m)².
    Degrees of freedom by Satterthwaite; the shared part carries those of the replicas. What is
    noise of runs (not the spread of true slopes) is widened as the intervals are.
    """
    # Welch's p-values are too small far out in the tails, which is where many tests look: with SDs
    # that rise fivefold and five seeds some language is named in 9 % of studies without any change.
    found = contrast_of_slopes(r, x, welch_seeds=np.inf)
    slope, df = found.estimate, found.df
    variance = typical_variance(found)
    moderated, moderated_df = squeeze(variance, df)
    with np.errstate(divide="ignore", invalid="ignore"):
        widening = np.where(variance > 0, found.se**2 / variance, 1.0)
    num = np.isfinite(slope).sum(axis=-1, keepdims=True)
    shape = slope.shape
    plain = {
        "slope": slope,
        "se": found.se,
        "df": df,
        "p": found.p,
        "moderated": moderated,
        "moderated_df": moderated_df,
        "widening": widening,
    }
    if shape[-1] < MIN_LANGUAGES:
        nan, flat = np.full(shape, np.nan), np.full(shape[:-1], np.nan)
        return Languages(
            **plain, eb=nan, eb_se=nan, eb_df=nan, false_sign=nan, tau=flat, centre=flat
        )
    shared, shared_df, shared_widening = _shared_variance(r, x, moderated, num)
    usable = np.isfinite(slope) & np.isfinite(moderated)
    # Constant scores have no spread at all; the floor keeps weights finite and is far below any
    # real one.
    own = np.where(
        usable, np.maximum(np.maximum(moderated - shared, 0.1 * moderated), 1e-18), np.nan
    )
    tau2 = _paule_mandel(slope, own, num)
    precision = np.where(usable, 1 / (tau2 + own), 0.0)
    total = precision.sum(axis=-1, keepdims=True)
    weighted = np.where(usable, precision * np.where(usable, slope, 0.0), 0.0).sum(
        axis=-1, keepdims=True
    )
    # One seed gives no variance of any language, and so no centre.
    centre = np.divide(weighted, total, out=np.full_like(total, np.nan), where=total > 0)
    weight = tau2 / (tau2 + own)
    many = np.maximum(num, 4)
    morris = 1 - (many - 3) / (many - 1) * (1 - weight)
    shift = slope - centre
    parts = (
        morris * own * widening,
        (1 - morris) ** 2 / total,
        shared * shared_widening,
        2 / (many - 3) * (1 - weight) ** 2 * shift**2,
    )
    spread = parts[0] + parts[1] + parts[2] + parts[3]
    with np.errstate(divide="ignore", invalid="ignore"):
        eb_df = spread**2 / (
            parts[0] ** 2 / moderated_df
            + parts[1] ** 2 / (many - 1)
            + parts[2] ** 2 / shared_df
            + parts[3] ** 2 / (many - 3)
        )
    eb, eb_se = centre + morris * shift, np.sqrt(spread)
    enough = usable & (num >= MIN_LANGUAGES)
    keep = [np.where(enough, value, np.nan) for value in (eb, eb_se, eb_df)]
    with np.errstate(divide="ignore", invalid="ignore"):
        wrong = stdtr(np.where(keep[2] > 0, keep[2], 1.0), -np.abs(keep[0]) / keep[1])
    return Languages(
        **plain,
        eb=keep[0],
        eb_se=keep[1],
        eb_df=keep[2],
        false_sign=np.where(enough, wrong, np.nan),
        tau=np.sqrt(tau2[..., 0]),
        centre=centre[..., 0],
    )


def typical_variance(found: Contrast) -> Array:
    """The variance of a contrast, [...]: geometric mean over the posterior of the noise's shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log = (found.weight * 2 * np.log(found.spread)).sum(axis=-1)
    return np.where(np.isfinite(found.spread).all(axis=-1), np.exp(log), np.nan)


def _shared_variance(
    r: Array, x: Array, moderated: Array, num: Array
) -> tuple[Array, Array, Array]:
    """The variance of a slope that all languages of a replica share, its degrees of freedom and
    its widening, all [..., 1].
    """
    _, mean, _ = moments(r)
    residual = np.where(np.isfinite(r), r - mean[..., None], np.nan)
    count = np.isfinite(residual).sum(axis=-3)
    filled = np.where(np.isfinite(residual), residual, 0.0).sum(axis=-3)
    average = contrast_of_slopes(np.where(count > 0, filled / np.maximum(count, 1), np.nan), x)
    run = np.nan_to_num(typical_variance(average))[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        widening = np.where(run > 0, np.nan_to_num(average.se)[..., None] ** 2 / run, 1.0)
    known = np.isfinite(moderated)
    typical = np.where(known, moderated, 0.0).sum(axis=-1, keepdims=True) / np.maximum(
        known.sum(axis=-1, keepdims=True), 1
    )
    shared = np.maximum(run - (typical - run) / np.maximum(num - 1, 1), 0.0)
    free = np.nan_to_num(average.df, nan=1.0)[..., None]
    return shared, np.maximum(free, 1), widening


def _paule_mandel(slope: Array, own: Array, num: Array) -> Array:
    """τ² [..., 1] by bisection of Σ (b − m)²/(τ² + d) = L − 1; 0 where even τ² = 0 leaves less
    than L − 1.
    """
    usable = np.isfinite(own)
    b, d = np.where(usable, slope, 0.0), np.where(usable, np.maximum(own, 1e-300), 1.0)

    def excess(tau2: Array) -> Array:
        precision = np.where(usable, 1 / (tau2 + d), 0.0)
        centre = (precision * b).sum(axis=-1, keepdims=True) / precision.sum(axis=-1, keepdims=True)
        return np.asarray((precision * (b - centre) ** 2).sum(axis=-1, keepdims=True) - (num - 1))

    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.zeros((*slope.shape[:-1], 1))
        high = low + np.where(usable, b**2, 0.0).sum(axis=-1, keepdims=True) + 1e-12
        positive = excess(low + 1e-300) > 0
        for _ in range(_ITERATIONS):
            middle = (low + high) / 2
            above = excess(middle) > 0
            low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(positive, (low + high) / 2, 0.0)


def squeeze(variance: Array, df: Array) -> tuple[Array, Array]:
    """Moderated variances and their degrees of freedom, both [..., language].

    Over the last axis, by the moments of log variance (Smyth 2004).

    ṽ = (d₀ s₀² + d v)/(d₀ + d), with the prior d₀, s₀² from the mean and variance of log v. Fewer
    than three variances are left as they are.
    """
    known = np.isfinite(variance) & (variance > 0) & (df > 0)
    num = known.sum(axis=-1, keepdims=True)
    d = np.where(known, df, 1.0)
    e = np.where(known, np.log(np.where(known, variance, 1.0)) - psi(d / 2) + np.log(d / 2), 0.0)
    mean = e.sum(axis=-1, keepdims=True) / np.maximum(num, 1)
    noise = np.where(known, polygamma(1, d / 2), 0.0).sum(axis=-1, keepdims=True) / np.maximum(
        num, 1
    )
    spread = (
        np.where(known, (e - mean) ** 2, 0.0).sum(axis=-1, keepdims=True) / np.maximum(num - 1, 1)
        - noise
    )
    scattered = spread > 0
    prior = np.where(scattered, 2 * _trigamma_inverse(np.where(scattered, spread, 1.0)), 1e6)
    prior = np.minimum(prior, 1e6)
    level = np.exp(mean + psi(prior / 2) - np.log(prior / 2))
    shrunk = (prior * level + df * np.where(known, variance, 0.0)) / (prior + df)
    enough = known & (num >= 3)
    return np.where(enough, shrunk, variance), np.where(enough, prior + df, df)


def _trigamma_inverse(y: Array) -> Array:
    """x with trigamma(x) = y, by Newton's method on 1/trigamma (Smyth 2004, appendix)."""
    x = np.where(y > 1e7, 1 / np.sqrt(y), np.where(y < 1e-6, 1 / y, 0.5 + 1 / y))
    for _ in range(12):
        trigamma = polygamma(1, x)
        x = x + trigamma * (1 - trigamma / y) / polygamma(2, x)
    return np.asarray(x)


def benjamini_hochberg(p: Array) -> Array:
    """q-values over the last axis of p[..., test] (Benjamini & Hochberg 1995).

    NaN stays NaN and does not count.
    """
    known = np.isfinite(p)
    num = known.sum(axis=-1, keepdims=True)
    order = np.argsort(np.where(known, p, np.inf), axis=-1, kind="stable")
    ranked = np.take_along_axis(np.where(known, p, np.inf), order, axis=-1)
    scaled = (
        np.where(np.isfinite(ranked), ranked, 1.0)
        * np.maximum(num, 1)
        / np.arange(1, p.shape[-1] + 1)
    )
    scaled = np.where(np.isfinite(ranked), scaled, np.inf)
    scaled = np.minimum(np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1], 1.0)
    q = np.empty_like(scaled)
    np.put_along_axis(q, order, scaled, axis=-1)
    return np.where(known, q, np.nan)
