"""Multiple choice: a score for each choice of a question, softmax over them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import TaskSpec
from scaling.kinds.heads import TextHead
from scaling.kinds.kind import Kind, Part, cut_texts, feature_table, outcome_table
from scaling.kinds.metrics import METRICS
from scaling.kinds.text import XLMR_FORM, Form, join_pair
from scaling.spec import UserError
from scaling.study.recipes import Recipe


def _target(choice: int, is_right: bool) -> int:
    """Number of a choice among those of its question, and whether it is right, in one number."""
    return 2 * choice + int(is_right)


def _choice_of(target: Any) -> Any:
    """Number of the choice of a target, or of each target of a tensor, any shape."""
    return target // 2


def _is_right(target: Any) -> Any:
    """Whether the choice of a target is right, or of each target of a tensor, any shape."""
    return target % 2 == 1


def _encode(
    rows: pa.Table,
    task: TaskSpec,
    tokenizer: Tokenizer,
    recipe: Recipe,
    form: Form = XLMR_FORM,
) -> pa.Table:
    """<s> context question </s></s> choice </s> for each choice; those of a row are one unit.

    Target: the number of the choice, and whether it is right (`_target`).
    """
    asked = zip(rows["context"].to_pylist(), rows["question"].to_pylist(), strict=True)
    prompts = [recipe.prefix + f"{context} {question}".strip() for context, question in asked]
    choices = rows["choices"].to_pylist()
    first = tokenizer.encode_batch(prompts, add_special_tokens=False)
    second = tokenizer.encode_batch(
        [choice for row in choices for choice in row], add_special_tokens=False
    )
    bounds = np.cumsum([0, *(len(row) for row in choices)]).tolist()
    features = []
    for index, (label, (start, end)) in enumerate(
        zip(rows["label"].to_pylist(), pairwise(bounds), strict=True)
    ):
        if not 0 <= label < end - start:
            name = rows["id"][index].as_py()
            raise UserError(
                f"task {task.name}, row {name!r}: label {label} of {end - start} choices"
            )
        for at, choice in enumerate(second[start:end]):
            ids, cut = join_pair(first[index].ids, choice.ids, recipe.max_length, form)
            target = _target(at, at == label)
            features.append(
                {"row": index, "unit": index, "input_ids": ids, "cut": cut, "target": target}
            )
    return feature_table(features, pa.int32())


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    """Cross-entropy over the choices of each question, summed.

    hidden: B x L x H; mask: B x L; targets: Q x (1 + C), as `_targets` makes them.
    """
    scores = head(hidden, mask).float()[:, 0]
    right, places = targets[:, 0], targets[:, 1:]
    # Questions may have different numbers of choices: those that are not there cannot be chosen.
    table = scores[places.clamp(min=0)].masked_fill(places < 0, -torch.inf)
    return nn.functional.cross_entropy(table, right, reduction="sum")


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    scores: list[list[float]] = [[] for _ in range(part.rows.num_rows)]
    for row, score in zip(part.features["row"].to_pylist(), part.predictions, strict=True):
        scores[row].append(float(score[0]))
    chosen = [int(np.argmax(row)) for row in scores]
    outcomes = METRICS[task.metric](chosen, part.rows["label"].to_pylist(), part.language)
    return outcome_table(part.rows["id"].to_pylist(), [str(choice) for choice in chosen], outcomes)


def _chance(part: Part, task: TaskSpec) -> float:
    """The mean over the questions of one in so many choices."""
    return float(np.mean([1 / len(row) for row in part.rows["choices"].to_pylist()]))


def _targets(targets: Sequence[Any], length: int) -> Tensor:
    """Q x (1 + C): of each question the right choice, then the sequence of each choice.

    -1 where a question has fewer. Made on the host, so that a loss need not ask a device for Q
    and C.
    """
    # Not by unit: an update that spans two epochs may hold one question twice, side by side.
    starts = [at for at, target in enumerate(targets) if at == 0 or _choice_of(target) == 0]
    spans = list(pairwise([*starts, len(targets)]))
    table = np.full((len(spans), 1 + max(end - start for start, end in spans)), -1, dtype=np.int64)
    for row, (start, end) in enumerate(spans):
        # What is only scored may be any choices, and the right one not among them.
        table[row, 0] = max(range(start, end), key=lambda at: _is_right(targets[at])) - start
        table[row, 1 : 1 + end - start] = range(start, end)
    return torch.from_numpy(table)


def _shuffled(targets: Sequence[Any], rng: np.random.Generator) -> list[Any]:
    """The place of the right choice moves between questions that have equally many choices."""
    starts = [at for at, target in enumerate(targets) if _choice_of(target) == 0]
    questions = [targets[a:b] for a, b in pairwise([*starts, len(targets)])]
    right = [[_is_right(target) for target in question].index(True) for question in questions]
    given = list(right)
    for count in sorted({len(question) for question in questions}):
        alike = [at for at, question in enumerate(questions) if len(question) == count]
        for at, other in zip(alike, rng.permutation(alike), strict=True):
            given[at] = right[other]
    return [
        _target(at, at == choice)
        for question, choice in zip(questions, given, strict=True)
        for at in range(len(question))
    ]


MULTIPLE_CHOICE = Kind(
    encode=_encode,
    head=lambda hidden, task, recipe: TextHead(hidden, 1, recipe, drop_input=False),
    targets=_targets,
    loss=_loss,
    loss_weight=lambda targets: float(sum(_is_right(target) for target in targets)),
    predict=lambda head, hidden, mask, targets: head(hidden, mask),
    outcomes=_outcomes,
    chance=_chance,
    counts=cut_texts,
    shuffled=_shuffled,
)
