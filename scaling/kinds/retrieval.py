"""Retrieval: mean-pooled vectors, cosine, nearest candidate, with or without training.

As in Artetxe & Schwenk 2019 (Tatoeba). The layer is a fraction of the depth, since an index does
not carry over between sizes. A pre-LayerNorm encoder's inner states are raw residuals;
`encoders.encoder` normalises them, so that no dimension dominates the mean. Below the last layer
other depths are scored as well, shown beside the main score and never chosen by it.

Training is a dual encoder: a question and its passage are one unit, and a question's softmax is
over the passages of its group of GROUP pairs. Groups follow the order of the update. The ranks
share them: each computes some of the vectors, and all of them the loss, so that hardware changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import PAIRS_TOGETHER, TaskSpec
from scaling.kinds.heads import mean_pool
from scaling.kinds.kind import (
    Kind,
    Part,
    Vectors,
    cut_texts,
    feature_table,
    outcome_table,
    targets_in_order,
)
from scaling.kinds.metrics import METRICS
from scaling.kinds.metrics.mining import NEIGHBOURS, best_threshold, mine
from scaling.kinds.metrics.outcomes import column_at
from scaling.kinds.metrics.ranking import DEPTH
from scaling.kinds.text import XLMR_FORM, Form, join_pair
from scaling.spec import UserError
from scaling.study.recipes import Recipe

SWEEP = (1 / 3, 2 / 3, 1.0)
"""Depths that are scored beside the recipe's own."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """Ids, relevant ids and numbers of vectors of one side of one file."""

    ids: list[str]
    relevant: list[list[str]]
    numbers: np.ndarray
    """Shape (n,)."""


def _sides(part: Part, names: Sequence[str], *, unique: bool) -> list[_Side]:
    """The rows of each side, in order; with `unique` one of each text."""
    first: dict[int, int] = {}
    for at, row in enumerate(part.features["row"].to_pylist()):
        first.setdefault(row, at)
    numbers = np.array([part.predictions[first[row]] for row in range(part.rows.num_rows)], int)
    sides, ids, relevant = (part.rows[name].to_pylist() for name in ("side", "id", "relevant"))
    texts = part.rows["text"].to_pylist() if unique else []
    found = []
    for name in names:
        chosen = [at for at, side in enumerate(sides) if side == name]
        if unique:
            chosen = list({texts[at]: at for at in reversed(chosen)}.values())[::-1]
        found.append(
            _Side(
                ids=[ids[at] for at in chosen],
                relevant=[relevant[at] for at in chosen],
                numbers=numbers[chosen],
            )
        )
    return found


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    """One row per query: what was found at the recipe's depth, and the metric at every depth."""
    if part.vectors is None:
        raise ValueError(f"{part.key}: retrieval is scored by vectors, and has none")
    search = _mined if task.metric == "mining_f1" else _ranked
    ids, relevant, by_depth = search(part, part.vectors, task)
    merged: list[dict[str, Any]] = []
    for depth, found in enumerate(by_depth):
        scored = METRICS[task.metric](found, relevant, part.language)
        if depth == 0:
            shown, merged = [" ".join(one) for one in found], [dict(outcome) for outcome in scored]
        else:
            for whole, outcome in zip(merged, scored, strict=True):
                whole.update(
                    {column_at(name, SWEEP[depth - 1]): score for name, score in outcome.items()}
                )
    return outcome_table(ids, shown, merged)


_Searched = tuple[list[str], list[list[str]], list[list[list[str]]]]
"""Query ids, relevant ids of each query, and by depth the ids that were found for each."""


def _ranked(part: Part, vectors: Vectors, task: TaskSpec) -> _Searched:
    """What is found are the nearest candidates, best first."""
    queries, candidates = _sides(part, ("query", "candidate"), unique=False)
    if not candidates.ids:
        raise UserError(
            f"task {task.name}, {part.key}: no candidates, here or in a language that shares"
            " its own"
        )
    most = 1 if task.metric == "accuracy" else DEPTH
    found = [
        vectors.nearest(queries.numbers, candidates.numbers, most, depth)[1]
        for depth in range(vectors.depths)
    ]
    named = [[[candidates.ids[at] for at in row] for row in nearest] for nearest in found]
    return queries.ids, queries.relevant, named


def _mined(part: Part, vectors: Vectors, task: TaskSpec) -> _Searched:
    """What is found are the candidates whose margin is above a threshold.

    The threshold is the best on the language's own dev sentences: the documented exception to "no
    target language in a selection", since BUCC's metric is defined by it.
    """
    names = ("dev_query", "dev_candidate", "query", "candidate")
    *tuned, queries, candidates = _sides(part, names, unique=True)
    if not tuned[0].ids:
        raise UserError(
            f"task {task.name}, {part.key}: no dev sentences (side dev_query) to tune the"
            " threshold on"
        )

    def mined(first: _Side, second: _Side, depth: int) -> tuple[np.ndarray, np.ndarray]:
        return mine(
            vectors.nearest(first.numbers, second.numbers, NEIGHBOURS, depth),
            vectors.nearest(second.numbers, first.numbers, NEIGHBOURS, depth),
        )

    by_depth = []
    for depth in range(vectors.depths):
        pairs, margins = mined(tuned[0], tuned[1], depth)
        right = [tuned[1].ids[candidate] in tuned[0].relevant[query] for query, candidate in pairs]
        num_gold = sum(len(set(names)) for names in tuned[0].relevant)
        threshold, _ = best_threshold([float(margin) for margin in margins], right, num_gold)
        pairs, margins = mined(queries, candidates, depth)
        found: list[list[str]] = [[] for _ in queries.ids]
        for (query, candidate), margin in zip(pairs, margins, strict=True):
            if margin >= threshold:
                found[query].append(candidates.ids[candidate])
        by_depth.append(found)
    return queries.ids, queries.relevant, by_depth


def _chance(part: Part, task: TaskSpec) -> float:
    """Of a random order of the candidates, mean over the queries; of mining 0.

    With R right ones of N: accuracy R/N; the average precision that a random order has on average,
    sum over k of (1 + (k - 1)(R - 1)/(N - 1)) / k / N, k up to the cut.
    """
    if task.metric == "mining_f1":
        return 0.0
    sides = part.rows["side"].to_pylist()
    total = sides.count("candidate")
    right = [
        len(names)
        for names, side in zip(part.rows["relevant"].to_pylist(), sides, strict=True)
        if side == "query"
    ]
    if task.metric == "accuracy":
        return float(np.mean(right)) / total
    ranks = np.arange(1, min(DEPTH, total) + 1)
    values = {
        count: float(np.sum((1 + (ranks - 1) * (count - 1) / max(1, total - 1)) / ranks)) / total
        for count in set(right)
    }
    return min(1.0, float(np.mean([values[count] for count in right])))


def _share(parts: Sequence[Part]) -> Sequence[Part]:
    """Languages without candidates of their own search those of all others.

    Mewsli-X has one pool, which is staged once.
    """
    has_own = ["candidate" in set(part.rows["side"].to_pylist()) for part in parts]
    if all(has_own):
        return parts
    pool: dict[str, tuple[dict[str, Any], int]] = {}
    for part in parts:
        rows = part.rows.to_pylist()
        for row, number in zip(part.features["row"].to_pylist(), part.predictions, strict=True):
            if rows[row]["side"] == "candidate":
                pool.setdefault(rows[row]["id"], (rows[row], number))
    shared = pa.Table.from_pylist([row for row, _ in pool.values()], schema=parts[0].rows.schema)
    return [
        part if own else _with(part, shared, [number for _, number in pool.values()])
        for part, own in zip(parts, has_own, strict=True)
    ]


def _with(part: Part, shared: pa.Table, numbers: list[int]) -> Part:
    """A part with more rows behind its own. numbers: of the vector of each row that is added."""
    before = part.rows.num_rows
    added = pa.table({"row": pa.array(range(before, before + shared.num_rows), pa.int32())})
    return replace(
        part,
        rows=pa.concat_tables([part.rows, shared]),
        features=pa.concat_tables([part.features.select(["row"]), added]),
        predictions=[*part.predictions, *numbers],
    )


GROUP = PAIRS_TOGETHER
"""Pairs that are each other's negatives, 7 for each question.

XTREME-R's Mewsli-X with XLM-R Large has as many; its LAReQA has 3.
"""


SCALE = 20.0
"""Of cosines in the softmax: a temperature of 0.05 (SimCSE, Gao et al. 2021)."""


class DualEncoder(nn.Module):
    """The mean of the hidden states. It learns nothing, so that any checkpoint can be scored."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.group = min(GROUP, recipe.batch)
        self.ranks = 1
        self.rows: Callable[[Tensor], Tensor] = lambda own: own

    def join(self, ranks: int, rows: Callable[[Tensor], Tensor]) -> None:
        """Share groups with other ranks. `rows`: B x … of one rank → N·B x … of all, in order."""
        self.ranks, self.rows = ranks, rows

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden … x B x L x H, mask B x L → … x B x H."""
        return mean_pool(hidden, mask)


def _query_target(passage: int) -> int:
    """Of a query that looks for a passage. The target of a candidate is its passage itself."""
    return -passage - 1


def _is_query(target: Any) -> Any:
    """Whether a target is that of a query, or of each target of a tensor, any shape."""
    return target < 0


def _encode(
    rows: pa.Table,
    task: TaskSpec,
    tokenizer: Tokenizer,
    recipe: Recipe,
    form: Form = XLMR_FORM,
) -> pa.Table:
    """Each query beside its first right candidate, as one unit; then the others.

    The others are scored and not trained on.
    """
    texts, contexts = rows["text"].to_pylist(), rows["context"].to_pylist()
    first = tokenizer.encode_batch(
        [recipe.prefix + text for text in texts], add_special_tokens=False
    )
    second = tokenizer.encode_batch(contexts, add_special_tokens=False)
    joined = [
        join_pair(a.ids, b.ids if context else [], recipe.max_length, form)
        for a, b, context in zip(first, second, contexts, strict=True)
    ]
    passages = _passages(rows)
    order: list[tuple[int, int, int]] = []
    for query, at in _pairs_of(rows):
        unit, passage = len(order) // 2, passages[at]
        order += [(query, unit, _query_target(passage)), (at, unit, passage)]
    paired = {row for row, _, _ in order}
    order += [(row, -1, row) for row in range(rows.num_rows) if row not in paired]
    return feature_table(
        [
            {
                "row": row,
                "unit": unit,
                "input_ids": joined[row][0],
                "cut": joined[row][1],
                "target": target,
            }
            for row, unit, target in order
        ],
        pa.int32(),
    )


def _pairs_of(rows: pa.Table) -> list[tuple[int, int]]:
    """(query, its first right candidate), by row, of every query that has one."""
    candidates = {
        name: at
        for at, (name, side) in enumerate(
            zip(rows["id"].to_pylist(), rows["side"].to_pylist(), strict=True)
        )
        if side.endswith("candidate")
    }
    found = []
    for query, names in enumerate(rows["relevant"].to_pylist()):
        known = next((candidates[name] for name in names if name in candidates), None)
        if known is not None:
            found.append((query, known))
    return found


def _passages(rows: pa.Table) -> list[int]:
    """Of each row a number that is equal for candidates none of which is a negative beside another.

    Those of one text and context, those that are right for one query, and those of queries of one
    text: the lowest row among them.
    """
    parent = list(range(rows.num_rows))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first: dict[tuple[str, ...], int] = {}
    columns = [rows[name].to_pylist() for name in ("id", "side", "text", "context", "relevant")]
    listed = list(zip(*columns, strict=True))
    candidates = {one[0]: at for at, one in enumerate(listed) if one[1].endswith("candidate")}
    for at, (_, side, text, context, relevant) in enumerate(listed):
        is_query = side.endswith("query")
        members = (
            [candidates[name] for name in relevant if name in candidates] if is_query else [at]
        )
        key = ("asked", side, text) if is_query else ("found", side, text, context)
        for member in members:
            a, b = root(first.setdefault(key, member)), root(member)
            parent[max(a, b)] = min(a, b)
    return [root(at) for at in range(rows.num_rows)]


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    """Cross-entropy of each question over its group's passages, summed: this rank's share of it.

    hidden: B x L x H; mask: B x L; targets: shape (B,).
    """
    assert isinstance(head, DualEncoder)
    vectors = head.rows(nn.functional.normalize(head(hidden, mask).float(), dim=-1))
    targets = head.rows(targets)
    # A query stands before its passage: sizes are known without asking a device.
    group, pairs = head.group, len(vectors) // 2
    if pairs % group:
        raise ValueError(
            f"a pass of {pairs} pairs cannot be cut into groups of {group}, whose members are each"
            " other's negatives"
        )
    queries, candidates = (vectors[side::2].unflatten(0, (-1, group)) for side in (0, 1))
    scores = SCALE * queries @ candidates.transpose(1, 2)
    # A passage that answers two questions of a group is no negative for either (_passages).
    passage = targets[1::2].unflatten(0, (-1, group))
    same = (passage.unsqueeze(1) == passage.unsqueeze(2)) & ~torch.eye(
        group, dtype=torch.bool, device=scores.device
    )
    right = torch.arange(group, device=scores.device).expand(len(passage), group)
    # All ranks have computed the same.
    return (
        nn.functional.cross_entropy(
            scores.masked_fill(same, -torch.inf).flatten(0, 1), right.flatten(), reduction="sum"
        )
        / head.ranks
    )


def _counts(rows: pa.Table, features: pa.Table) -> dict[str, int]:
    """Texts that are cut, and candidates with the text of another that are kept apart from it."""
    sides, texts, contexts = (rows[name].to_pylist() for name in ("side", "text", "context"))
    found = [one for one in zip(sides, texts, contexts, strict=True) if one[0] == "candidate"]
    twins = len(found) - len(set(found))
    kept = {"candidates with the text of another, kept apart": twins} if twins else {}
    return {**cut_texts(rows, features), **kept}


def _predict(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """One vector for every depth: B x D x H. hidden: D x B x L x H or B x L x H; mask: B x L."""
    vectors: Tensor = head(hidden, mask)
    return vectors.transpose(0, 1) if vectors.dim() == 3 else vectors.unsqueeze(1)


RETRIEVAL = Kind(
    encode=_encode,
    head=lambda hidden, task, recipe: DualEncoder(recipe),
    targets=targets_in_order,
    loss=_loss,
    loss_weight=lambda targets: float(sum(_is_query(target) for target in targets)),
    predict=_predict,
    outcomes=_outcomes,
    chance=_chance,
    counts=_counts,
    mid_depth=True,
    together=GROUP,
    searched=True,
    sweep=SWEEP,
    share=_share,
)
