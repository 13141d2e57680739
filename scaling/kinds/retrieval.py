"""Retrieval: mean-pooled vectors, cosine, nearest candidate (Artetxe & Schwenk 2019, Tatoeba),
trained or not.

The layer is a fraction of the depth, since an index does not carry over between sizes. A
pre-LayerNorm encoder's inner states are raw residuals; scaling.encoders.encoder normalises them, so that no
dimension dominates the mean. Below the last layer other depths are scored as well (accuracy@0.33
…), shown beside the main score and never chosen by it.

Training is a dual encoder: a question and its passage are one unit, and a question's softmax is
over the passages of its group of GROUP pairs. Groups follow the order of the update and stay in one
pass, so that hardware changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.demo import TaskSpec
from scaling.catalogue.hardware import PAIRS_TOGETHER
from scaling.kinds.heads import mean_pool
from scaling.kinds.kind import Kind, feature_table
from scaling.kinds.ranking import SWEEP, chance, outcomes, share
from scaling.kinds.text import join_pair
from scaling.study.recipes import Recipe

GROUP = PAIRS_TOGETHER
"""Pairs that are each other's negatives: 7 a question, as in XTREME-R's Mewsli-X with XLM-R Large;
its LAReQA has 3.
"""
SCALE = 20.0
"""Of cosines in the softmax: a temperature of 0.05 (SimCSE, Gao et al. 2021)."""


class DualEncoder(nn.Module):
    """… x B x L x H, B x L → … x B x H. Nothing is learnt here, so that any checkpoint can be
    scored.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.group = min(GROUP, recipe.batch)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        return mean_pool(hidden, mask)


def encode(rows: pa.Table, task: TaskSpec, tokenizer: Tokenizer, recipe: Recipe) -> pa.Table:
    """Each query beside its first right candidate, as one unit; then the others, which only scoring
    looks at.
    """
    texts, contexts = rows["text"].to_pylist(), rows["context"].to_pylist()
    first = tokenizer.encode_batch(
        [recipe.prefix + text for text in texts], add_special_tokens=False
    )
    second = tokenizer.encode_batch(contexts, add_special_tokens=False)
    joined = [
        join_pair(a.ids, b.ids if context else [], recipe.max_length)
        for a, b, context in zip(first, second, contexts, strict=True)
    ]
    sides, relevant = rows["side"].to_pylist(), rows["relevant"].to_pylist()
    candidates = {
        name: at
        for at, name in enumerate(rows["id"].to_pylist())
        if sides[at].endswith("candidate")
    }
    order: list[tuple[int, int, int]] = []
    for query, names in enumerate(relevant):
        known = next((candidates[name] for name in names if name in candidates), None)
        if known is not None:
            unit = len(order) // 2
            # The target of a query is its candidate's row as a negative number, that of a candidate
            # its own row.
            order += [(query, unit, -known - 1), (known, unit, known)]
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


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    vectors = nn.functional.normalize(head(hidden, mask).float(), dim=-1)
    asked = targets < 0
    group, pairs = int(head.group), int(asked.sum())  # type: ignore[arg-type]
    if pairs % group:
        raise ValueError(
            f"a pass of {pairs} pairs cannot be cut into groups of {group}, whose members are each"
            " other's negatives"
        )
    queries, candidates = (
        vectors[side].view(-1, group, vectors.shape[-1]) for side in (asked, ~asked)
    )
    scores = SCALE * queries @ candidates.transpose(1, 2)
    # A passage that answers two questions of a group is no negative for either.
    passage = targets[~asked].view(-1, group)
    same = (passage.unsqueeze(1) == passage.unsqueeze(2)) & ~torch.eye(
        group, dtype=torch.bool, device=scores.device
    )
    right = torch.arange(group, device=scores.device).expand(len(passage), group)
    return nn.functional.cross_entropy(
        scores.masked_fill(same, -torch.inf).flatten(0, 1), right.flatten(), reduction="sum"
    )


def _predict(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """B x D x H: one vector for every depth."""
    vectors = head(hidden, mask)
    return vectors.transpose(0, 1) if vectors.dim() == 3 else vectors.unsqueeze(1)  # type: ignore[no-any-return]


def _targets(targets: Sequence[Any], length: int) -> Tensor:
    return torch.tensor(targets, dtype=torch.long)


RETRIEVAL = Kind(
    encode=encode,
    head=lambda hidden, task, recipe: DualEncoder(recipe),
    targets=_targets,
    loss=_loss,
    loss_weight=lambda targets: float(sum(target < 0 for target in targets)),
    predict=_predict,
    outcomes=outcomes,
    chance=chance,
    mid_depth=True,
    together=GROUP,
    sweep=SWEEP,
    share=share,
)
