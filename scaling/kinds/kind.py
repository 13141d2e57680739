"""What every kind of task provides. Features, batches and predictions have one form for all of them.

Features are an Arrow table with one row per token sequence:
    row        int32         index of the normalised row it comes from
    unit       int32         training unit: sequences that must stay in one batch share a unit (choices of a question)
    input_ids  list<int32>   special tokens included
    cut        bool          whether max_length cut the text
    target     anything      what the loss needs; the kind's own
A prediction is one numpy array per sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.recipes import Recipe
from scaling.tasks import TaskSpec

# XLM-R's special tokens, equal in all four sizes and in everything that kept its vocabulary.
BOS, PAD, EOS = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of one language."""

    metric: str
    value: float
    n: int
    chance: float
    main: bool = True


class Encode(Protocol):
    def __call__(self, rows: pa.Table, task: TaskSpec, tokenizer: Tokenizer, recipe: Recipe) -> pa.Table:
        """Features of the rows, in row order."""


class Head(Protocol):
    def __call__(self, hidden: int, task: TaskSpec, recipe: Recipe) -> nn.Module:
        """New layers on top of the encoder, freshly initialised; may be nn.Identity."""


class Targets(Protocol):
    def __call__(self, targets: Sequence[Any], length: int) -> Tensor:
        """Values of the `target` column as a tensor, for sequences padded to `length`."""


class Loss(Protocol):
    def __call__(self, head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor) -> Tensor:
        """Sum of the losses in a batch. hidden: B x L x H; mask: B x L; units: B."""


class LossWeight(Protocol):
    def __call__(self, targets: Sequence[Any]) -> float:
        """How many terms the loss of these targets sums: what the global batch divides by."""


class Predict(Protocol):
    def __call__(self, head: nn.Module, hidden: Tensor, mask: Tensor) -> list[np.ndarray]:
        """One array per sequence of the batch."""


class Outcomes(Protocol):
    def __call__(
        self, rows: pa.Table, features: pa.Table, predictions: Sequence[np.ndarray], task: TaskSpec
    ) -> pa.Table:
        """One row per scored example: `id`, `prediction` (text), `correct` or another per-example value."""


class ScoreAll(Protocol):
    def __call__(self, outcomes: pa.Table, rows: pa.Table, task: TaskSpec) -> list[Score]:
        """The metrics of one language, the headline first, computed from the outcomes alone."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    encode: Encode
    head: Head
    targets: Targets
    loss: Loss
    loss_weight: LossWeight
    predict: Predict
    outcomes: Outcomes
    score: ScoreAll
    mid_depth: bool = False
    """Whether predictions are made from the layer at recipe.pool_depth instead of the last one."""


def feature_table(features: list[dict[str, Any]], target: pa.DataType) -> pa.Table:
    """Features in the common form."""
    schema = pa.schema(
        [
            ("row", pa.int32()), ("unit", pa.int32()), ("input_ids", pa.list_(pa.int32())), ("cut", pa.bool_()),
            ("target", target),
        ]
    )  # fmt: skip
    return pa.Table.from_pylist(features, schema=schema)


def join_pair(first: list[int], second: list[int], max_length: int) -> tuple[list[int], bool]:
    """(<s> a </s> or <s> a </s></s> b </s>, whether it was cut). The longer text loses tokens first, at its end."""
    room = max_length - (4 if second else 2)
    a, b = len(first), len(second)
    if a + b > room:
        a, b = (room, 0) if not second else _share(a, b, room)
    ids = [BOS, *first[:a], EOS]
    if second:
        ids += [EOS, *second[:b], EOS]
    return ids, a < len(first) or b < len(second)


def _share(a: int, b: int, room: int) -> tuple[int, int]:
    """Lengths after taking tokens from the longer of two texts until they fit."""
    half = room // 2
    if a <= half:
        return a, room - a
    if b <= half:
        return room - b, b
    return room - half, half


def init_linear(layer: nn.Linear) -> nn.Linear:
    """BERT's initialisation: normal with SD 0.02, zero bias."""
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """B x L x H, B x L → B x H: the mean over real tokens."""
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def numpy_rows(tensor: Tensor) -> list[np.ndarray]:
    return list(tensor.detach().to(torch.float32).cpu().numpy())
