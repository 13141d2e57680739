"""Masked language modelling (Devlin et al. 2019): 15 % of the tokens are to be predicted.

Of them 80 % become <mask>, 10 % another token, and 10 % stay. What is masked depends on the text's
id and the draw (seed and epoch) alone. A sequence is stored with <mask> and a few spare tokens
behind it, so that both are among the rows that a trimmed vocabulary keeps. Spare tokens are drawn
from those that the split uses, each as likely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import TaskSpec
from scaling.kinds.heads import TiedHead
from scaling.kinds.kind import (
    IGNORED,
    Kind,
    Part,
    feature_table,
    outcome_table,
    padded_targets,
    rows_that,
)
from scaling.kinds.metrics import METRICS
from scaling.kinds.text import XLMR_FORM, Form, special_id
from scaling.spec import UserError
from scaling.study.recipes import Recipe

RATE = 0.15
MASKS = ("<mask>", "<|mask|>")
"""What tokenizers call the token that hides another."""
_SPARE = 16


def _encode(
    rows: pa.Table,
    task: TaskSpec,
    tokenizer: Tokenizer,
    recipe: Recipe,
    form: Form = XLMR_FORM,
) -> pa.Table:
    """Long texts become several sequences; nothing is cut.

    Target: the real length, and a key for the draws.
    """
    if (len(form.before), len(form.after)) != (1, 1):
        raise UserError(
            f"task {task.name}: masked language modelling takes texts between one token and"
            f" another, this tokenizer puts {len(form.before)} before and {len(form.after)} behind"
        )
    room = recipe.max_length - form.around
    encoded = tokenizer.encode_batch(rows["text"].to_pylist(), add_special_tokens=False)
    types = np.unique(
        np.concatenate([np.zeros(0, np.int64), *(np.asarray(one.ids, np.int64) for one in encoded)])
    )
    named = [special_id(tokenizer, name) for name in MASKS]
    mask = next((one for one in named if one is not None), form.unk)
    features: list[dict[str, Any]] = []
    for index, (name, encoding) in enumerate(zip(rows["id"].to_pylist(), encoded, strict=True)):
        for start in range(0, len(encoding.ids), room):
            ids = [*form.before, *encoding.ids[start : start + room], *form.after]
            digest = hashlib.sha256(f"{name}/{start}".encode()).digest()
            key = int.from_bytes(digest[:7], "big")
            spare = np.random.default_rng(key).choice(types, _SPARE)
            features.append(
                {
                    "row": index,
                    "unit": len(features),
                    "input_ids": [*ids, mask, *spare.tolist()],
                    "cut": False,
                    "target": {"length": len(ids), "key": key},
                }
            )
    return feature_table(features, pa.struct([("length", pa.int32()), ("key", pa.int64())]))


def _num_masked(length: int) -> int:
    return max(1, round(RATE * (length - 2)))


def _corrupt(input_ids: np.ndarray, target: Any, draw: int) -> tuple[np.ndarray, Any]:
    """The masked sequence and its labels: the token where it was masked, IGNORED elsewhere.

    input_ids: shape (length + 1 + spare tokens,); both results: shape (length,).
    """
    length = target["length"]
    ids, mask, spare = input_ids[:length].copy(), input_ids[length], input_ids[length + 1 :]
    rng = np.random.default_rng([target["key"], draw])
    chosen = 1 + rng.choice(length - 2, _num_masked(length), replace=False)
    labels = np.full(length, IGNORED, dtype=np.int64)
    labels[chosen] = ids[chosen]
    fate = rng.random(len(chosen))
    ids[chosen[fate < 0.8]] = mask
    random = chosen[(fate >= 0.8) & (fate < 0.9)]
    ids[random] = rng.choice(spare, len(random))
    return ids, labels


def _loss(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
    """Cross-entropy at masked tokens, summed. hidden: B x L x H; targets: N x 2."""
    # Logits over 250,000 pieces at masked positions only: a seventh of the memory, which is most of
    # a step's.
    places, labels = targets.unbind(1)
    return nn.functional.cross_entropy(
        head(hidden.flatten(0, 1)[places]).float(), labels, reduction="sum"
    )


def _predict(head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
    """Of each masked token whether it was found, 1 or 0, IGNORED elsewhere: B x L.

    hidden: B x L x H; mask: B x L; targets: N x 2.
    """
    places, labels = targets.unbind(1)
    right = (head(hidden.flatten(0, 1)[places]).argmax(-1) == labels).to(torch.int16)
    found = right.new_full((hidden.shape[0] * hidden.shape[1],), IGNORED)
    return found.index_copy(0, places, right).unflatten(0, hidden.shape[:2])


def _outcomes(part: Part, task: TaskSpec) -> pa.Table:
    found: list[list[bool]] = [[] for _ in range(part.rows.num_rows)]
    for row, tokens in zip(part.features["row"].to_pylist(), part.predictions, strict=True):
        found[row] += [bool(token) for token in tokens if token != IGNORED]
    outcomes = METRICS[task.metric](found, [[True] * len(row) for row in found], part.language)
    return outcome_table(
        part.rows["id"].to_pylist(), [f"{sum(row)} of {len(row)}" for row in found], outcomes
    )


def _targets(targets: Sequence[Any], length: int) -> Tensor:
    """N x 2: the place of every masked token in the flattened batch, and what it was.

    Made on the host, so that a loss need not ask a device for N.
    """
    padded = padded_targets(targets, length).flatten()
    places = torch.nonzero(padded != IGNORED)[:, 0]
    return torch.stack([places, padded[places]], dim=1)


def _counts(rows: pa.Table, features: pa.Table) -> dict[str, int]:
    num = rows.num_rows - rows_that(features, np.ones(features.num_rows, dtype=bool))
    return {"texts without a token": num} if num else {}


MASKED_LM = Kind(
    encode=_encode,
    head=lambda hidden, task, recipe: TiedHead(hidden),
    targets=_targets,
    loss=_loss,
    loss_weight=lambda targets: float(sum(_num_masked(target["length"]) for target in targets)),
    predict=_predict,
    per_token=True,
    outcomes=_outcomes,
    chance=lambda part, task: 0.0,
    counts=_counts,
    corrupt=_corrupt,
)
