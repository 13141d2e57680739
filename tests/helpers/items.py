"""Rows whose scores are those of single examples, and the outcomes that they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.helpers.synthetic import study

Got = NDArray[np.float64]


def study_with_outcomes(
    got: Callable[[dict[str, object]], Got],
    *,
    targets: Mapping[str, Sequence[str]],
    models: Sequence[str],
    arms: Sequence[str] = ("mnli",),
    seeds: int = 3,
    counted: str = "",
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Tidy rows, and the outcomes of each step.

    Args:
        got: A row without a score → what its examples got: [item], or [item, 3] of correct,
            predicted and gold counts.
        targets: Target → languages.
        models: By name.
        arms: Beside `none`.
        seeds: How many.
        counted: Stem of an F1 of counts; empty for an accuracy.
    """
    frame = study(targets=targets, models=models, arms=arms, seeds=seeds)
    rows, outcomes = [], {}
    for row in frame.iter_rows(named=True):
        found = np.asarray(got(row), dtype=float)
        if counted:
            names = [f"{counted}_{part}" for part in ("correct", "predicted", "gold")]
            c, p, g = found.sum(axis=0)
            value, metric = float(2 * c / (p + g)) if c else 0.0, f"{counted}_f1"
        else:
            names, found = ["accuracy"], found[:, None]
            value, metric = float(found.mean()), "accuracy"
        rows.append({**row, "value": value, "n": len(found), "metric": metric})
        table = pl.DataFrame(
            {
                "key": [f"test.{row['language']}"] * len(found),
                "id": [f"i{k}" for k in range(len(found))],
                **dict(zip(names, found.T, strict=True)),
            }
        )
        step = str(row["step"])
        outcomes[step] = pl.concat([outcomes[step], table]) if step in outcomes else table
    return pl.DataFrame(rows, schema=frame.schema), outcomes
