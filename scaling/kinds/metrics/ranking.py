"""Mean average precision of rankings, cut at 20: LAReQA and Mewsli-X in XTREME-R."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from scaling.kinds.metrics.outcomes import Outcome, pairs

DEPTH = 20
"""XTREME-R cuts both tasks at 20; LAReQA's paper does not (google-research/xtreme#64)."""


def map_at_20(
    predictions: Sequence[Sequence[str]], references: Sequence[Collection[str]], language: str = ""
) -> list[Outcome]:
    """`map_at_20`: average precision of each ranking of candidate ids, best first.

    With one relevant candidate it is the reciprocal rank, which is what XTREME-R's Mewsli-X scorer
    computes.
    """
    return [
        {"map_at_20": average_precision(ranking, relevant, DEPTH)}
        for ranking, relevant in pairs(predictions, references)
    ]


def average_precision(ranking: Sequence[str], relevant: Collection[str], depth: int) -> float:
    """The mean over all relevant candidates of the precision at their ranks (trec_eval's map_cut).

    Ranks below `depth` count 0. Raises ValueError for a query without relevant candidates and for a
    ranking that names a candidate twice.
    """
    wanted = set(relevant)
    top = ranking[:depth]
    if not wanted:
        raise ValueError("a query without relevant candidates has no average precision")
    if len(set(top)) != len(top):
        raise ValueError(f"a ranking names a candidate twice: {list(top)}")
    hits, total = 0, 0.0
    for rank, candidate in enumerate(top, start=1):
        if candidate in wanted:
            hits += 1
            total += hits / rank
    return total / len(wanted)
