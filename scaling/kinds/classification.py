"""Classification of one text or a pair: a dense layer on <s>, XLM-R's own head, or on the mean of all tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.kinds.kind import Kind, Score, feature_table, init_linear, join_pair, mean_pool, numpy_rows
from scaling.recipes import Recipe
from scaling.tasks import TaskSpec


class ClassificationHead(nn.Module):
    """B x L x H, B x L → B x classes."""

    def __init__(self, hidden: int, num_labels: int, recipe: Recipe) -> None:
        super().__init__()
        self.pooling = recipe.pooling
        self.dropout = nn.Dropout(recipe.dropout)
        self.dense = init_linear(nn.Linear(hidden, hidden))
        self.out = init_linear(nn.Linear(hidden, num_labels))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        text = hidden[:, 0] if self.pooling == "first" else mean_pool(hidden, mask)
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(text)))))


def encode(rows: pa.Table, task: TaskSpec, tokenizer: Tokenizer, recipe: Recipe) -> pa.Table:
    firsts = [recipe.prefix + text for text in rows["text_a"].to_pylist()]
    seconds = rows["text_b"].to_pylist()
    a = tokenizer.encode_batch(firsts, add_special_tokens=False)
    b = tokenizer.encode_batch(seconds, add_special_tokens=False)
    features = []
    for index, label in enumerate(rows["label"].to_pylist()):
        ids, cut = join_pair(a[index].ids, b[index].ids if seconds[index] else [], recipe.max_length)
        features.append({"row": index, "unit": index, "input_ids": ids, "cut": cut, "target": task.labels.index(label)})
    return feature_table(features, pa.int32())


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    return nn.functional.cross_entropy(head(hidden, mask).float(), targets, reduction="sum")


def _outcomes(rows: pa.Table, features: pa.Table, predictions: Sequence[np.ndarray], task: TaskSpec) -> pa.Table:
    guessed = [task.labels[int(np.argmax(logits))] for logits in predictions]
    gold = rows["label"].to_pylist()
    return pa.table(
        {
            "id": rows["id"],
            "prediction": pa.array(guessed, pa.string()),
            "correct": pa.array([float(a == b) for a, b in zip(guessed, gold, strict=True)]),
        }
    )


def _score(outcomes: pa.Table, rows: pa.Table, task: TaskSpec) -> list[Score]:
    correct = outcomes["correct"].to_pylist()
    largest = max(Counter(rows["label"].to_pylist()).values())
    return [Score(metric="accuracy", value=sum(correct) / len(correct), n=len(correct), chance=largest / len(correct))]


def _targets(targets: Sequence[Any], length: int) -> Tensor:
    return torch.tensor(targets, dtype=torch.long)


CLASSIFICATION = Kind(
    encode=encode,
    head=lambda hidden, task, recipe: ClassificationHead(hidden, len(task.labels), recipe),
    targets=_targets,
    loss=_loss,
    loss_weight=lambda targets: float(len(targets)),
    predict=lambda head, hidden, mask: numpy_rows(head(hidden, mask)),
    outcomes=_outcomes,
    score=_score,
)
