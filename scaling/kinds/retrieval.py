"""Retrieval without training: mean-pooled vectors, cosine, nearest candidate (Artetxe & Schwenk 2019, Tatoeba).

The layer is a fraction of the depth, since an index does not carry over between sizes. A pre-LayerNorm encoder's
inner states are raw residuals; scaling.encoder normalises them, so that no dimension dominates the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.kinds.kind import Kind, Score, feature_table, join_pair, mean_pool, numpy_rows
from scaling.recipes import Recipe
from scaling.tasks import TaskSpec


def encode(rows: pa.Table, task: TaskSpec, tokenizer: Tokenizer, recipe: Recipe) -> pa.Table:
    texts = [recipe.prefix + text for text in rows["text"].to_pylist()]
    features = []
    for index, encoding in enumerate(tokenizer.encode_batch(texts, add_special_tokens=False)):
        ids, cut = join_pair(encoding.ids, [], recipe.max_length)
        features.append({"row": index, "unit": index, "input_ids": ids, "cut": cut, "target": 0})
    return feature_table(features, pa.int32())


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    raise NotImplementedError("retrieval has no training loss yet: give the task `train_on: []`")


def _outcomes(rows: pa.Table, features: pa.Table, predictions: Sequence[np.ndarray], task: TaskSpec) -> pa.Table:
    vectors = np.stack(predictions).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    side = np.array(rows["side"].to_pylist())
    ids = rows["id"].to_pylist()
    queries, candidates = np.flatnonzero(side == "query"), np.flatnonzero(side == "candidate")
    nearest = candidates[np.argmax(vectors[queries] @ vectors[candidates].T, axis=1)]
    relevant = rows["relevant"].to_pylist()
    found = [ids[index] for index in nearest]
    return pa.table(
        {
            "id": pa.array([ids[index] for index in queries]),
            "prediction": pa.array(found, pa.string()),
            "correct": pa.array([float(hit in relevant[q]) for hit, q in zip(found, queries, strict=True)]),
        }
    )


def _score(outcomes: pa.Table, rows: pa.Table, task: TaskSpec) -> list[Score]:
    correct = outcomes["correct"].to_pylist()
    num_candidates = rows["side"].to_pylist().count("candidate")
    return [Score(metric="accuracy", value=sum(correct) / len(correct), n=len(correct), chance=1 / num_candidates)]


def _targets(targets: Sequence[Any], length: int) -> Tensor:
    return torch.zeros(len(targets), dtype=torch.long)


RETRIEVAL = Kind(
    encode=encode,
    head=lambda hidden, task, recipe: nn.Identity(),
    targets=_targets,
    loss=_loss,
    loss_weight=lambda targets: float(len(targets)),
    predict=lambda head, hidden, mask: numpy_rows(mean_pool(hidden, mask)),
    outcomes=_outcomes,
    score=_score,
    mid_depth=True,
)
