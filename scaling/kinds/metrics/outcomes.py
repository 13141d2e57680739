"""Outcomes: what one example contributes to a score. All scores are computed from stored outcomes.

Two sorts of columns, told apart by name:

- `X_correct`, `X_predicted`, `X_gold` are counts; summed over the examples they give
  `X_precision`, `X_recall`, `X_f1`;
- any other column is a score of the example, 0..1, averaged over the examples that have one. None
  means that the score does not apply to the example (a no-answer score of a question that has an
  answer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Outcome = Mapping[str, float | None]
"""Column → value of one example; all outcomes of one metric have the same columns."""

Metric = Callable[[Sequence[Any], Sequence[Any], str], list[Outcome]]
"""(predictions, references, language) → one outcome per example, in the same order.

The two sequences are aligned and of equal length; `language` is our code (only MLQA's rules look at
it).
"""


def pairs(predictions: Sequence[Any], references: Sequence[Any]) -> zip[tuple[Any, Any]]:
    """Predictions beside references; ValueError where their numbers differ."""
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    return zip(predictions, references, strict=True)


def precision_recall_f1(
    correct: float, predicted: float, gold: float
) -> tuple[float, float, float]:
    """Micro-averaged, 0..1; 0 where nothing is predicted or nothing is to be found.

    seqeval and LASER do the same.
    """
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if correct else 0.0


def aggregate(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Score name → value, 0..1, the main score first.

    A score that applies to no example is left out. Raises ValueError for no outcomes at all: no
    score is invented for an empty test set.
    """
    if not outcomes:
        raise ValueError("no outcomes to aggregate: the score of an empty test set does not exist")
    scores: dict[str, float] = {}
    for column in outcomes[0]:
        values = [value for outcome in outcomes if (value := outcome[column]) is not None]
        stem = column.removesuffix("_correct")
        if stem != column:
            totals = (
                sum(outcome[f"{stem}_{part}"] or 0 for outcome in outcomes) for part in _COUNTED
            )
            precision, recall, f1 = precision_recall_f1(*totals)
            scores |= {f"{stem}_f1": f1, f"{stem}_precision": precision, f"{stem}_recall": recall}
        elif not column.endswith(("_predicted", "_gold")) and values:
            scores[column] = sum(values) / len(values)
    return scores


_COUNTED = ("correct", "predicted", "gold")


def column_at(column: str, depth: float) -> str:
    """Name of a column at a depth: `accuracy@0.33`, `mining@0.33_gold`.

    Stored outcomes have one table for all depths. No code reads a depth out of such a name.
    """
    stem, _, counted = column.rpartition("_")
    at = f"@{depth:.2g}"
    return f"{stem}{at}_{counted}" if counted in _COUNTED else f"{column}{at}"
