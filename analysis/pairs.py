"""Gains by (arm, target) at each size and their slopes.

The transfer matrix of Phang et al., once per size.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.gains import ENGLISH
from analysis.panel import Array, Panel, balance, make_panel, replicas, series_columns
from analysis.slope import contrast, moments, slope


def pair_table(gains: pl.DataFrame, sizes: pl.DataFrame, scale: str = "points") -> pl.DataFrame:
    """One row per (arm, target, size), plus rows with model `slope`.

    Zero-shot languages; collapsed runs are left out.

    Columns: arm, target, model, label, estimate, low, high, num_languages, seeds, same_data,
    english (the gain in English, null if unknown), over_span (a slope as points from the smallest
    to the largest size). Gains at a size are means over the languages that exist there; the slope
    is of the balanced panel.
    """
    needed = [*series_columns(gains), "model", "seed", "same_data", scale]
    kept = gains.lazy().filter(~pl.col("collapsed")).select(needed).collect()
    rows: list[dict[str, object]] = []
    for (arm, target), part in kept.group_by(["arm", "target"], maintain_order=True):
        same = bool(part["same_data"].any())
        english = dict(
            part.filter(pl.col("language") == ENGLISH)
            .group_by("model")
            .agg(pl.col(scale).mean())
            .iter_rows()
        )
        zero_shot = part.filter(pl.col("language") != ENGLISH)
        if zero_shot.is_empty():
            continue
        panel = make_panel(zero_shot, sizes, scale)
        rows += [
            {
                "arm": arm,
                "target": target,
                "same_data": same,
                "english": english.get(row["model"]),
                **row,
            }
            for row in [*({**row, "over_span": None} for row in by_size(panel)), _slope_row(panel)]
        ]
    schema = {
        "over_span": pl.Float64,
        "english": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "estimate": pl.Float64,
    }
    return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None).sort(
        "arm", "target"
    )


def as_found(panel: Panel) -> Array:
    """Replica values [size, seed], at each size the mean over the series that exist there."""
    r = np.full((panel.num_sizes, len(panel.seeds)), np.nan)
    for i in range(panel.num_sizes):
        here = np.isfinite(panel.y[i]).any(axis=0)
        if here.any():
            part = panel.only(here).sizes([i])
            r[i] = replicas(part.y, part.weights)[0]
    return r


def by_size(panel: Panel) -> list[dict[str, object]]:
    """Mean gain at each size with its 95 % interval.

    One row per size that has a replica; variances as in every contrast (analysis/noise.py).
    """
    r = as_found(panel)
    count, _, _ = moments(r)
    out: list[dict[str, object]] = []
    for i, model in enumerate(panel.models):
        if count[i] == 0:
            continue
        result = contrast(r, np.eye(panel.num_sizes)[i], panel.x)
        low, high = result.interval()
        languages = panel.series.filter(pl.Series(np.isfinite(panel.y[i]).any(axis=0)))[
            "language"
        ].n_unique()
        out.append(
            {
                "model": model,
                "label": panel.labels[i],
                "estimate": float(result.estimate),
                "low": float(low),
                "high": float(high),
                "num_languages": languages,
                "seeds": int(count[i]),
            }
        )
    return out


def _slope_row(panel: Panel) -> dict[str, object]:
    row: dict[str, object] = {
        "model": "slope",
        "label": "slope",
        "estimate": float("nan"),
        "low": float("nan"),
        "high": float("nan"),
        "num_languages": 0,
        "seeds": 0,
        "over_span": float("nan"),
    }
    chosen = balance(panel)
    if chosen.num_sizes < 2 or chosen.series.is_empty():
        return row
    r = replicas(chosen.y, chosen.weights)
    result = slope(r, chosen.x)
    low, high = result.interval()
    return row | {
        "estimate": float(result.estimate),
        "low": float(low),
        "high": float(high),
        "num_languages": chosen.series["language"].n_unique(),
        "seeds": int(moments(r)[0].min()),
        "over_span": float(result.estimate) * float(np.ptp(chosen.x)),
    }


def populations() -> dict[str, pl.Expr]:
    """Groups of languages whose mean gain is shown by size, as conditions on series."""
    english = pl.col("language") == ENGLISH
    return {
        "low-resource": ~english & pl.col("low"),
        "other languages": ~english & ~pl.col("low"),
        "all zero-shot": ~english,
        "English": english,
        "official mean, English included": pl.lit(True),
    }


def size_means(gains: pl.DataFrame, sizes: pl.DataFrame, scale: str = "points") -> pl.DataFrame:
    """Mean gain per size of several populations.

    Low-resource, other, all zero-shot, English, English included.
    """
    kept = pl.col("pooled") & ~pl.col("same_data") & ~pl.col("collapsed")
    rows: list[dict[str, object]] = []
    for name, rule in populations().items():
        panel = make_panel(gains, sizes, scale, kept & rule)
        if len(panel.series):
            rows += [{"population": name, **row} for row in by_size(balance(panel))]
    return pl.DataFrame(rows, infer_schema_length=None)
