"""Vectors → ranked or mined candidates → outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from scaling.catalogue.demo import TaskSpec
from scaling.kinds.kind import Part, outcome_table
from scaling.kinds.metrics import METRICS, Outcome
from scaling.kinds.metrics.mining import best_threshold, mine
from scaling.kinds.metrics.neighbours import top_k, unit_rows
from scaling.kinds.metrics.ranking import DEPTH

SWEEP = (1 / 3, 2 / 3, 1.0)
"""Depths that are scored beside the recipe's own."""


class Side:
    """Vectors, ids and relevant ids of one side of one file."""

    def __init__(self, part: Part, vectors: np.ndarray, side: str, unique: bool = False) -> None:
        rows = part.rows.select(["id", "side", "text", "relevant"]).to_pylist()
        chosen = [at for at, row in enumerate(rows) if row["side"] == side]
        if unique:
            chosen = list({rows[at]["text"]: at for at in reversed(chosen)}.values())[::-1]
        self.ids = [rows[at]["id"] for at in chosen]
        self.relevant = [rows[at]["relevant"] for at in chosen]
        self.vectors = vectors[chosen]


def outcomes(part: Part, task: TaskSpec) -> pa.Table:
    """One row per query: what was found at the recipe's depth, and the metric at every depth."""
    first: dict[int, int] = {}
    for at, row in enumerate(part.features["row"].to_pylist()):
        first.setdefault(row, at)
    stacked = np.stack([part.predictions[first[row]] for row in range(part.rows.num_rows)])
    search = _mined if task.metric == "mining_f1" else _ranked
    merged: list[dict[str, Any]] = []
    for depth in range(stacked.shape[1]):
        ids, found, relevant = search(part, stacked[:, depth], task)
        scored = METRICS[task.metric](found, relevant, part.language)
        if depth == 0:
            names, shown, merged = (
                ids,
                [" ".join(one) for one in found],
                [dict(outcome) for outcome in scored],
            )
        else:
            for whole, outcome in zip(merged, scored, strict=True):
                whole.update(_at_depth(outcome, SWEEP[depth - 1]))
    return outcome_table(names, shown, merged)


def _ranked(
    part: Part, vectors: np.ndarray, task: TaskSpec
) -> tuple[list[str], list[list[str]], list[Any]]:
    queries, candidates = Side(part, vectors, "query"), Side(part, vectors, "candidate")
    if not candidates.ids:
        raise ValueError(
            f"task {task.name}, {part.key}: no candidates, here or in a language that shares"
            " its own"
        )
    most = 1 if task.metric == "accuracy" else DEPTH
    _, nearest = top_k(unit_rows(queries.vectors), unit_rows(candidates.vectors), most)
    return queries.ids, [[candidates.ids[at] for at in row] for row in nearest], queries.relevant


def _mined(
    part: Part, vectors: np.ndarray, task: TaskSpec
) -> tuple[list[str], list[list[str]], list[Any]]:
    """Pairs above the threshold that is best on the language's own dev sentences.

    The documented exception to "no target language in a selection": BUCC's metric is defined by it.
    """
    tuned = [Side(part, vectors, f"dev_{side}", unique=True) for side in ("query", "candidate")]
    if not tuned[0].ids:
        raise ValueError(
            f"task {task.name}, {part.key}: no dev sentences (side dev_query) to tune the"
            " threshold on"
        )
    pairs, margins = mine(tuned[0].vectors, tuned[1].vectors)
    right = [tuned[1].ids[candidate] in tuned[0].relevant[query] for query, candidate in pairs]
    num_gold = sum(len(set(names)) for names in tuned[0].relevant)
    threshold, _ = best_threshold([float(margin) for margin in margins], right, num_gold)
    queries, candidates = (
        Side(part, vectors, side, unique=True) for side in ("query", "candidate")
    )
    pairs, margins = mine(queries.vectors, candidates.vectors)
    found: list[list[str]] = [[] for _ in queries.ids]
    for (query, candidate), margin in zip(pairs, margins, strict=True):
        if margin >= threshold:
            found[query].append(candidates.ids[candidate])
    return queries.ids, found, queries.relevant


def _at_depth(outcome: Outcome, depth: float) -> dict[str, float | None]:
    """`accuracy` → `accuracy@0.33`, `mining_gold` → `mining@0.33_gold`."""
    named = {}
    for column, value in outcome.items():
        stem, _, counted = column.rpartition("_")
        is_count = counted in ("correct", "predicted", "gold")
        named[f"{stem}@{depth:.2g}_{counted}" if is_count else f"{column}@{depth:.2g}"] = value
    return named


def chance(part: Part, task: TaskSpec) -> float:
    """Of a random order of the candidates with one that is right; of mining 0."""
    if task.metric == "mining_f1":
        return 0.0
    total = part.rows["side"].to_pylist().count("candidate")
    return (
        1 / total
        if task.metric == "accuracy"
        else min(1.0, sum(1 / rank for rank in range(1, DEPTH + 1)) / total)
    )


def share(parts: Sequence[Part]) -> Sequence[Part]:
    """Languages without candidates of their own search those of all others (Mewsli-X: one pool,
    staged once).
    """
    has_own = ["candidate" in set(part.rows["side"].to_pylist()) for part in parts]
    if all(has_own):
        return parts
    pool: dict[str, tuple[dict[str, Any], np.ndarray]] = {}
    for part in parts:
        rows = part.rows.to_pylist()
        for row, vectors in zip(part.features["row"].to_pylist(), part.predictions, strict=True):
            if rows[row]["side"] == "candidate":
                pool.setdefault(rows[row]["id"], (rows[row], vectors))
    shared = pa.Table.from_pylist([row for row, _ in pool.values()], schema=parts[0].rows.schema)
    return [
        part if own else _with(part, shared, [vectors for _, vectors in pool.values()])
        for part, own in zip(parts, has_own, strict=True)
    ]


def _with(part: Part, shared: pa.Table, vectors: list[np.ndarray]) -> Part:
    before = part.rows.num_rows
    added = pa.table({"row": pa.array(range(before, before + shared.num_rows), pa.int32())})
    return replace(
        part,
        rows=pa.concat_tables([part.rows, shared]),
        features=pa.concat_tables([part.features.select(["row"]), added]),
        predictions=[*part.predictions, *vectors],
    )
