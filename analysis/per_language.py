"""One slope per language: least squares, moderated, shrunk, with q-values.

The q-values are inside the low-resource family.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.panel import Array, Panel, balance, replicas
from analysis.shrink import Languages, benjamini_hochberg, languages
from analysis.slope import moments, t_quantile


def language_replicas(panel: Panel) -> tuple[pl.DataFrame, Array]:
    """Languages, one row each, and their replica values r[language, size, seed].

    The rows hold facts, by pretraining text.

    A language's value is the mean over its arms inside a target, then over its targets, on the
    series that exist at all of the sizes it has. A language that lacks a size keeps the others.
    """
    facts = [name for name in panel.series.columns if name not in ("arm", "target")]
    table = (
        panel.series.select(facts)
        .unique("language")
        .sort("pretraining_text", "language", nulls_last=True)
    )
    r = np.full((len(table), panel.num_sizes, len(panel.seeds)), np.nan)
    for row, code in enumerate(table["language"]):
        own = balance(panel.where(pl.col("language") == code))
        if own.num_sizes and len(own.series):
            at = [panel.models.index(name) for name in own.models]
            r[row, at] = replicas(own.y, own.weights)
    return table, r


def spans(r: Array, x: Array) -> Array:
    """Decades between the outer sizes of r[row, size, seed] that have a replica, [row]."""
    there = np.isfinite(r).any(axis=-1)
    last = np.where(there, x, -np.inf).max(axis=-1)
    return np.asarray(np.maximum(last - np.where(there, x, np.inf).min(axis=-1), 0.0))


def language_table(panel: Panel) -> tuple[pl.DataFrame, Languages]:
    """One row per language, and the arrays behind it.

    Columns: facts; gain_<i> at each size; slope, over_span (points from the smallest to the largest
    of its sizes), se, df, low, high, p (least squares, noise as in
    analysis/noise.py); moderated_low, moderated_high; eb, eb_low, eb_high, false_sign; q
    (Benjamini–Hochberg within the low-resource languages, unmoderated); direction `falls`, `rises`
    or `undecided` by q ≤ .05 in the low-resource family.
    """
    table, r = language_replicas(panel)
    fit = languages(r, panel.x)
    _, mean, _ = moments(r)
    half = t_quantile(0.975, fit.df) * fit.se
    moderated = t_quantile(0.975, fit.moderated_df) * np.sqrt(fit.moderated * fit.widening)
    shrunk = t_quantile(0.975, fit.eb_df) * fit.eb_se
    low = table["low"].to_numpy()
    q = benjamini_hochberg(np.where(low, fit.p, np.nan))
    columns = {
        "slope": fit.slope,
        "over_span": fit.slope * spans(r, panel.x),
        "se": fit.se,
        "df": fit.df,
        "low_": fit.slope - half,
        "high": fit.slope + half,
        "p": fit.p,
        "moderated_low": fit.slope - moderated,
        "moderated_high": fit.slope + moderated,
        "eb": fit.eb,
        "eb_low": fit.eb - shrunk,
        "eb_high": fit.eb + shrunk,
        "false_sign": fit.false_sign,
        "q": q,
    }
    gains = [pl.Series(f"gain_{i}", mean[:, i]) for i in range(panel.num_sizes)]
    out = table.rename({"low": "low_resource"}).with_columns(
        *gains, *(pl.Series(n, v) for n, v in columns.items())
    )
    verdict = (
        pl.when(pl.col("q").is_nan())
        .then(pl.lit(""))
        .when((pl.col("q") <= 0.05) & (pl.col("slope") < 0))
        .then(pl.lit("falls"))
        .when((pl.col("q") <= 0.05) & (pl.col("slope") > 0))
        .then(pl.lit("rises"))
        .otherwise(pl.lit("undecided"))
    )
    return out.rename({"low_": "low"}).with_columns(verdict.alias("direction")), fit
