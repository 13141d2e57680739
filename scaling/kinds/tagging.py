"""Tagging of words: the label of a word stands on one of its subwords, the first in most forms.

Nothing is cut: long sentences are windowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import TaskSpec
from scaling.kinds.heads import TokenHead
from scaling.kinds.kind import (
    IGNORED,
    Kind,
    Part,
    feature_table,
    outcome_table,
    padded_targets,
    rows_that,
)
from scaling.kinds.metrics import METRICS, aggregate
from scaling.kinds.text import XLMR_FORM, Form
from scaling.spec import known
from scaling.study.recipes import Recipe

# Share of a later window that repeats what came before, unlabelled, so that its first words have a
# left context.
_CONTEXT = 0.25


def word_windows(lengths: Sequence[int], room: int) -> Iterator[tuple[int, int, int]]:
    """(first word of context, first word, end): every word is in one window.

    It stands behind as much context as fits. `lengths`: tokens of each word.
    """
    start = 0
    while start < len(lengths):
        begin, total = start, 0
        while begin and total + lengths[begin - 1] <= _CONTEXT * room:
            begin -= 1
            total += lengths[begin]
        if total + lengths[start] > room:
            begin, total = start, 0
        end = start
        # A word that is longer than a window keeps its beginning, and its label with it.
        while end < len(lengths) and (total + lengths[end] <= room or end == begin == start):
            total += lengths[end]
            end += 1
        yield begin, start, end
        start = end


def _encode(
    rows: pa.Table,
    task: TaskSpec,
    tokenizer: Tokenizer,
    recipe: Recipe,
    form: Form = XLMR_FORM,
) -> pa.Table:
    """Windows of each sentence. Target: the number of the tag at one subword of each word, the
    first in most forms; else IGNORED.
    """
    numbers = {label: number for number, label in enumerate(task.labels)}
    room = recipe.max_length - form.around
    sentences = [
        [form.word_mark + word if at else word for at, word in enumerate(words)]
        for words in rows["words"].to_pylist()
    ]
    encoded = tokenizer.encode_batch(sentences, is_pretokenized=True, add_special_tokens=False)
    features: list[dict[str, Any]] = []
    for index, (encoding, tags) in enumerate(zip(encoded, rows["tags"].to_pylist(), strict=True)):
        pieces: list[list[int]] = [[] for _ in tags]
        for token, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None:
                pieces[word].append(token)
        # A word of characters that the tokenizer drops still has a label to predict.
        pieces = [piece or [form.unk] for piece in pieces]
        for begin, start, end in word_windows([len(piece) for piece in pieces], room):
            ids = [*form.before]
            target = [IGNORED] * len(ids)
            for word in range(begin, end):
                own = pieces[word][:room]
                ids += own
                label = numbers[known(f"tag of task {task.name}", tags[word], numbers)]
                tagged = [IGNORED] * len(own)
                tagged[0 if form.label_on == "first" else -1] = label if word >= start else IGNORED
                target += tagged
            features.append(
                {
                    "row": index,
                    "unit": len(features),
                    "input_ids": [*ids, *form.after],
                    "target": target + [IGNORED] * len(form.after),
                    "cut": any(len(piece) > room for piece in pieces[start:end]),
                }
            )
    return feature_table(features, pa.list_(pa.int32()))


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    """Cross-entropy at labelled subwords, summed. hidden: B x L x H; targets: B x L."""
    logits = head(hidden).float()
    return nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def _predict(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """The likeliest tag of every token, B x L. hidden: B x L x H."""
    return head(hidden).argmax(-1).to(torch.int16)  # type: ignore[no-any-return]


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    guessed: list[list[str]] = [[] for _ in range(part.rows.num_rows)]
    sequences = zip(
        part.features["row"].to_pylist(), part.features["target"].to_pylist(), strict=True
    )
    for (row, target), labels in zip(sequences, part.predictions, strict=True):
        guessed[row] += [
            task.labels[label] for label, due in zip(labels, target, strict=True) if due != IGNORED
        ]
    outcomes = METRICS[task.metric](guessed, part.rows["tags"].to_pylist(), part.language)
    return outcome_table(part.rows["id"].to_pylist(), [" ".join(row) for row in guessed], outcomes)


def _chance(part: Part, task: TaskSpec) -> float:
    """Of the commonest tag everywhere."""
    gold = part.rows["tags"].to_pylist()
    common = Counter(tag for tags in gold for tag in tags).most_common(1)[0][0]
    outcomes = METRICS[task.metric]([[common] * len(tags) for tags in gold], gold, part.language)
    return next(iter(aggregate(outcomes).values()))


def _counts(rows: pa.Table, features: pa.Table) -> dict[str, int]:
    num = rows_that(features, features["cut"].to_numpy())
    return {"sentences with a word longer than a window, which is cut": num} if num else {}


def _shuffled(targets: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """The tags of all words change places."""
    tags = rng.permutation([tag for target in targets for tag in target if tag != IGNORED]).tolist()
    return [[tags.pop() if tag != IGNORED else IGNORED for tag in target] for target in targets]


TAGGING = Kind(
    encode=_encode,
    head=lambda hidden, task, recipe: TokenHead(hidden, len(task.labels), recipe.dropout),
    targets=padded_targets,
    loss=_loss,
    loss_weight=lambda targets: float(
        sum(label != IGNORED for target in targets for label in target)
    ),
    predict=_predict,
    per_token=True,
    outcomes=_outcomes,
    chance=_chance,
    counts=_counts,
    shuffled=_shuffled,
)
