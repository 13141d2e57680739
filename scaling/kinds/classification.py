"""Classification of one text or a pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import TaskSpec
from scaling.kinds.heads import TextHead
from scaling.kinds.kind import Kind, Part, cut_texts, feature_table, outcome_table, targets_in_order
from scaling.kinds.metrics import METRICS
from scaling.kinds.text import XLMR_FORM, Form, join_pair
from scaling.study.recipes import Recipe


def _encode(
    rows: pa.Table,
    task: TaskSpec,
    tokenizer: Tokenizer,
    recipe: Recipe,
    form: Form = XLMR_FORM,
) -> pa.Table:
    """A sequence for each text or pair. Target: the number of its label."""
    firsts = [recipe.prefix + text for text in rows["text_a"].to_pylist()]
    seconds = rows["text_b"].to_pylist()
    a = tokenizer.encode_batch(firsts, add_special_tokens=False)
    b = tokenizer.encode_batch(seconds, add_special_tokens=False)
    features = []
    for index, label in enumerate(rows["label"].to_pylist()):
        ids, cut = join_pair(
            a[index].ids, b[index].ids if seconds[index] else [], recipe.max_length, form
        )
        features.append(
            {
                "row": index,
                "unit": index,
                "input_ids": ids,
                "cut": cut,
                "target": task.labels.index(label),
            }
        )
    return feature_table(features, pa.int32())


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    """Cross-entropy, summed. hidden: B x L x H; mask: B x L; targets, units: shape (B,)."""
    return nn.functional.cross_entropy(head(hidden, mask).float(), targets, reduction="sum")


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    guessed = [task.labels[int(np.argmax(logits))] for logits in part.predictions]
    outcomes = METRICS[task.metric](guessed, part.rows["label"].to_pylist(), part.language)
    return outcome_table(part.rows["id"].to_pylist(), guessed, outcomes)


def _chance(part: Part, task: TaskSpec) -> float:
    """Of the commonest label everywhere."""
    return max(Counter(part.rows["label"].to_pylist()).values()) / part.rows.num_rows


def _shuffled(targets: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """The labels of all sequences change places."""
    return [targets[at] for at in rng.permutation(len(targets))]


CLASSIFICATION = Kind(
    encode=_encode,
    head=lambda hidden, task, recipe: TextHead(hidden, len(task.labels), recipe, drop_input=True),
    targets=targets_in_order,
    loss=_loss,
    loss_weight=lambda targets: float(len(targets)),
    predict=lambda head, hidden, mask, targets: head(hidden, mask),
    outcomes=_outcomes,
    chance=_chance,
    counts=cut_texts,
    shuffled=_shuffled,
)
