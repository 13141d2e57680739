"""Single examples for the page: id, prediction and outcome, never a text of the test data."""

from __future__ import annotations

import polars as pl

from analysis.examples import Outcomes

WRONG, RIGHT = 2, 1
"""Examples of each sort that the page shows of a step and language: the first of the test set."""
LONGEST = 80
"""Characters of a prediction that are shown."""
_COUNTED = ("correct", "predicted", "gold")

Shown = list[tuple[str, str, float]]
"""(id, prediction, outcome 0..1) of a few examples."""


class ShownExamples:
    """Outcomes that keep a few examples of every step that is read through them."""

    def __init__(self, outcomes: Outcomes) -> None:
        """Of the steps that `outcomes` knows."""
        self.outcomes = outcomes
        self.seen: dict[str, dict[str, Shown]] = {}

    def __call__(self, step: str) -> pl.DataFrame | None:
        """The outcomes of a step, without predictions."""
        found = self.outcomes(step)
        if found is None:
            self.seen[step] = {}
            return None
        self.seen[step] = shown_of(found)
        return found.drop("prediction", strict=False)

    def of(self, step: str) -> dict[str, Shown]:
        """The examples of a step by language, read now if it was not read before."""
        if step not in self.seen:
            self(step)
        return self.seen[step]


def shown_of(found: pl.DataFrame) -> dict[str, Shown]:
    """The first wrong and right examples of every language of one step's outcomes."""
    if not {"key", "id"} <= set(found.columns):
        return {}
    outcome = example_outcome(found.columns)
    if outcome is None:
        return {}
    named = "prediction" in found.columns
    text = pl.col("prediction").cast(pl.String) if named else pl.lit("")
    kept = (
        found.filter(pl.col("key").str.starts_with("test."))
        .select(
            pl.col("key").str.strip_prefix("test."),
            "id",
            text.fill_null("").str.slice(0, LONGEST).alias("prediction"),
            outcome.fill_null(0.0).round(3).alias("outcome"),
        )
        .with_columns((pl.col("outcome") < 1).alias("wrong"))
        .with_columns(pl.int_range(pl.len()).over("key", "wrong").alias("turn"))
        .filter(pl.col("turn") < pl.when("wrong").then(WRONG).otherwise(RIGHT))
    )
    out: dict[str, Shown] = {}
    for key, name, prediction, value in kept.select(
        "key", "id", "prediction", "outcome"
    ).iter_rows():
        out.setdefault(key, []).append((str(name), prediction, value))
    return out


def example_outcome(columns: list[str]) -> pl.Expr | None:
    """How well a single example did, 0..1, from the first score of a table of outcomes.

    Its F1 where examples are counted; 1 where nothing is to be found and nothing is predicted.
    """
    scores = [name for name in columns if name not in ("key", "id", "prediction")]
    if not scores:
        return None
    stem = scores[0].removesuffix("_correct")
    counted = [f"{stem}_{part}" for part in _COUNTED]
    if stem == scores[0] or not set(counted) <= set(columns):
        return pl.col(scores[0]).cast(pl.Float64)
    correct, predicted, gold = (pl.col(name).cast(pl.Float64) for name in counted)
    both = predicted + gold
    return pl.when(both > 0).then(2 * correct / both).otherwise(1.0)
