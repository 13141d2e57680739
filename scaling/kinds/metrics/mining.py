"""BUCC 2018: pairs of translations mined by margin, and the F1 above a threshold set on dev data.

The method of Artetxe & Schwenk 2019 (arXiv 1811.01136) as XTREME runs it (google-research/xtreme,
utils_retrieve.py): ratio margin over the k nearest neighbours of both sides, best pairs of both
directions, greedy one to one. Both sides hold unique sentences: XTREME drops repeated ones before
mining.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling.kinds.metrics.outcomes import Outcome, pairs, precision_recall_f1

NEIGHBOURS = 4
"""k of the margin, in LASER and in XTREME."""


Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Cosines and indices of the nearest neighbours of each, n x k, best first."""


def mine(of_queries: Found, of_candidates: Found) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of indices, shape (n, 2), each index in one pair at most, and margins (n,), best first.

    A pair is (query, candidate). Each argument has the nearest of the other side.

        margin(x, y) = cos(x, y)
                       / ((mean cos of x to its k nearest + mean cos of y to its k nearest) / 2)
    """
    (forward, ahead), (backward, behind) = of_queries, of_candidates
    of_query, of_candidate = (
        forward.mean(axis=1, dtype=np.float64),
        backward.mean(axis=1, dtype=np.float64),
    )
    margins_ahead = forward / ((of_query[:, None] + of_candidate[ahead]) / 2)
    margins_behind = backward / ((of_candidate[:, None] + of_query[behind]) / 2)
    found = [
        np.stack([np.arange(len(ahead)), _chosen(ahead, margins_ahead)], axis=1),
        np.stack([_chosen(behind, margins_behind), np.arange(len(behind))], axis=1),
    ]
    margins = np.concatenate([margins_ahead.max(axis=1), margins_behind.max(axis=1)])
    return _one_to_one(np.concatenate(found), margins)


def _chosen(neighbours: NDArray[np.int64], margins: NDArray[np.float64]) -> NDArray[np.int64]:
    """The neighbour of largest margin of each row, shape (n,). Both: shape (n, k)."""
    return np.take_along_axis(neighbours, margins.argmax(axis=1, keepdims=True), axis=1)[:, 0]


def _one_to_one(
    found: NDArray[np.int64], margins: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pairs (n, 2) whose indices are in no better pair, and their margins (n,), best first."""
    used_queries: set[int] = set()
    used_candidates: set[int] = set()
    kept = []
    for at in np.argsort(-margins, kind="stable"):
        query, candidate = int(found[at, 0]), int(found[at, 1])
        if query not in used_queries and candidate not in used_candidates:
            used_queries.add(query)
            used_candidates.add(candidate)
            kept.append(at)
    return found[kept], margins[kept]


def best_threshold(
    margins: Sequence[float], right: Sequence[bool], num_gold: int
) -> tuple[float, float]:
    """(threshold, F1 on these pairs): the cut of largest F1 over mined pairs, best first.

    `right`: which of them are gold, of which there are `num_gold` in all. Between two margins the
    threshold is their mean; below the last pair it is that pair's margin. A cut never falls between
    equal margins. Where no pair is right it lies above all: (infinity, 0.0).
    """
    threshold, best, correct = float("inf"), 0.0, 0
    for count, (margin, is_right) in enumerate(pairs(margins, right), start=1):
        correct += bool(is_right)
        following = margins[count] if count < len(margins) else None
        if following is not None and following > margin:
            raise ValueError(f"margins must not increase: {margin} is followed by {following}")
        f1 = precision_recall_f1(correct, count, num_gold)[2]
        if f1 > best and following != margin:
            best, threshold = f1, float(margin if following is None else (margin + following) / 2)
    return threshold, best


def mining_f1(
    predictions: Sequence[Collection[str]],
    references: Sequence[Collection[str]],
    language: str = "",
) -> list[Outcome]:
    """`mining_f1`, `mining_precision`, `mining_recall`: mined candidate ids against the gold ones.

    Most queries have neither; they count as examples and change nothing.
    """
    return [
        {
            "mining_correct": len(set(mined) & set(gold)),
            "mining_predicted": len(set(mined)),
            "mining_gold": len(set(gold)),
        }
        for mined, gold in pairs(predictions, references)
    ]
