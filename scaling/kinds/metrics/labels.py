"""Accuracy: of labels, of chosen answers, of the nearest neighbour (Tatoeba)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaling.kinds.metrics.outcomes import Outcome, pairs


def tag_f1(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], language: str = ""
) -> list[Outcome]:
    """`tag_f1`: the share of all words that have the right tag (CCG supertagging).

    Precision and recall equal it.
    """
    return [
        {
            "tag_correct": sum(tag == gold for tag, gold in pairs(predicted, tags)),
            "tag_predicted": len(tags),
            "tag_gold": len(tags),
        }
        for predicted, tags in pairs(predictions, references)
    ]


_SEVERAL = (list, tuple, set, frozenset)


def accuracy(
    predictions: Sequence[Any], references: Sequence[Any], language: str = ""
) -> list[Outcome]:
    """`accuracy`: 1 where the prediction is right.

    A prediction is a label, an index or an id, or a ranking of ids (its first counts). A reference
    is the right one, or the collection of right ones.
    """
    return [
        {"accuracy": float(_right(prediction, reference))}
        for prediction, reference in pairs(predictions, references)
    ]


def _right(prediction: Any, reference: Any) -> bool:
    if isinstance(prediction, _SEVERAL):
        prediction = next(iter(prediction), None)
    return (
        prediction in reference
        if isinstance(reference, _SEVERAL)
        else bool(prediction == reference)
    )
