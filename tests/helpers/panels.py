"""Panels of gains from arrays."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.panel import Panel

X = np.log10([270e6, 550e6, 3.5e9, 10.7e9])


def panel_of(y: np.ndarray, series: list[tuple[str, str, str]]) -> Panel:
    """The panel of y[size, seed, series] at four sizes; `series`: arm, target and language."""
    return Panel(
        models=("a", "b", "c", "d"),
        labels=("A", "B", "C", "D"),
        x=X,
        seeds=tuple(range(y.shape[1])),
        series=pl.DataFrame(
            series, schema=["arm", "target", "language"], orient="row"
        ).with_columns(
            language_name=pl.col("language"), pretraining_text=pl.lit(1.0), low=pl.lit(True)
        ),
        y=y,
    )
