"""What every kind of task provides, in one form for all of them.

Features are an Arrow table with one row per token sequence:

    row        int32         index of the normalised row it comes from
    unit       int32         training unit, ascending: what must stay in one batch shares it (a
                             question's choices). -1, which comes first: scored, never trained on
    input_ids  list<int32>   special tokens included
    cut        bool          whether max_length cut the text
    target     anything      what the loss needs; the kind's own

and the columns that `outcomes` reads back. A prediction is one numpy array per sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from scaling.catalogue.task import Key, TaskSpec
from scaling.kinds.metrics import Outcome, aggregate
from scaling.kinds.metrics.outcomes import column_at
from scaling.kinds.text import XLMR_FORM, Form
from scaling.study.recipes import Recipe

IGNORED = -100  # a target that the loss leaves out


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of one language."""

    metric: str
    depth: float | None
    """Fraction of the layers, to two digits; None for the recipe's own."""
    value: float
    """0..1."""
    n: int
    """Examples scored."""
    chance: float
    """0..1: what guessing scores."""
    main: bool


class Vectors(Protocol):
    """The vectors of scored sequences, by number; they stay with the ranks that computed them."""

    @property
    def depths(self) -> int:
        """Vectors of each sequence."""

    def nearest(
        self, queries: np.ndarray, candidates: np.ndarray, k: int, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The candidates of largest cosine for each query: cosines and indices.

        Both have the shape (num_queries, min(k, num_candidates)), best first; of equal ones the
        lower index comes first. All ranks call it alike and get the same.

        Args:
            queries: Numbers of vectors, shape (n,).
            candidates: The same, shape (m,).
            k: How many are wanted.
            depth: Which of each sequence's vectors.
        """


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was predicted for a split of a language."""

    key: Key
    rows: pa.Table
    features: pa.Table
    predictions: Sequence[Any]
    """One per row of `features`: an array, or of a kind that is searched a number in `vectors`."""
    vectors: Vectors | None = None

    @property
    def language(self) -> str:
        """Our code of the language."""
        return self.key.language


class Encode(Protocol):
    """Tokenises: normalised rows → features."""

    def __call__(
        self,
        rows: pa.Table,
        task: TaskSpec,
        tokenizer: Tokenizer,
        recipe: Recipe,
        form: Form = XLMR_FORM,
    ) -> pa.Table:
        """Features of the rows: a `feature_table`.

        Args:
            rows: In the schema of the kind.
            task: Their task.
            tokenizer: Without truncation and padding of its own.
            recipe: Its max_length and prefix count.
            form: What stands around texts.
        """


class Head(Protocol):
    """Makes the layers on top of the encoder."""

    def __call__(self, hidden: int, task: TaskSpec, recipe: Recipe) -> nn.Module:
        """New layers on hidden states of this size, freshly initialised; may have no parameters."""


class Targets(Protocol):
    """Makes a tensor of targets."""

    def __call__(self, targets: Sequence[Any], length: int) -> Tensor:
        """Values of the `target` column, B x …, for sequences that are padded to `length`."""


class Loss(Protocol):
    """Sums the losses of a micro-batch."""

    def __call__(
        self, head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor, units: Tensor
    ) -> Tensor:
        """The sum, a scalar, over a micro-batch of whole units, in order.

        Args:
            head: The kind's head.
            hidden: Hidden states, B x L x H.
            mask: 1 at real tokens, B x L.
            targets: As `targets` makes them, B x ….
            units: Training unit of each sequence, shape (B,).
        """


class LossWeight(Protocol):
    """Counts the terms of a loss."""

    def __call__(self, targets: Sequence[Any]) -> float:
        """How many terms the loss of these targets sums: what the global batch divides by."""


class Predict(Protocol):
    """Computes what is kept of a scored sequence."""

    def __call__(self, head: nn.Module, hidden: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        """Predictions, B x …, on the device where they were computed.

        Args:
            head: The kind's head.
            hidden: B x L x H, or D x B x L x H for a kind that is scored at several depths.
            mask: 1 at real tokens, B x L.
            targets: As `targets` makes them, B x ….
        """


class Outcomes(Protocol):
    """Decides what was right."""

    def __call__(self, part: Part, task: TaskSpec) -> pa.Table:
        """One row per scored example: an `outcome_table`. Scores come from it alone."""


class Chance(Protocol):
    """Says what guessing scores."""

    def __call__(self, part: Part, task: TaskSpec) -> float:
        """What guessing scores by the main metric, 0..1."""


class Corrupt(Protocol):
    """Hides part of a sequence, to be predicted."""

    def __call__(self, input_ids: np.ndarray, target: Any, draw: int) -> tuple[np.ndarray, Any]:
        """The sequence, shape (L,), and the target of one draw.

        `input_ids`: shape (L,) or longer. The same arguments give the same result.
        """


class Counts(Protocol):
    """What is lost between rows and predictions."""

    def __call__(self, rows: pa.Table, features: pa.Table) -> Mapping[str, int]:
        """What is cut or cannot be predicted, in words → how many rows; nothing that is 0."""


class Shuffled(Protocol):
    """Permutes the labels of a training."""

    def __call__(self, targets: Sequence[Any], rng: np.random.Generator) -> list[Any]:
        """The targets of all training sequences, permuted: as many of each label as before."""


class Share(Protocol):
    """Completes the splits of a task."""

    def __call__(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The parts, completed with what they share (one pool of candidates)."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of task: functions from rows to scores, and what else must be known of it."""

    encode: Encode
    head: Head
    targets: Targets
    loss: Loss
    loss_weight: LossWeight
    predict: Predict
    outcomes: Outcomes
    chance: Chance
    counts: Counts
    per_token: bool = False
    """Whether a prediction is B x L x …: padding is cut off."""
    together: int = 1
    """Training units in a row that the ranks must compute at the same time."""
    mid_depth: bool = False
    """Whether hidden states come from the layer at recipe.pool_depth instead of the last one."""
    searched: bool = False
    """Whether a prediction is a vector at each of D depths, D x H, that is only compared with
    others.
    """
    sweep: tuple[float, ...] = ()
    """Depths that are scored beside a recipe.pool_depth below 1, from the same pass."""
    corrupt: Corrupt | None = None
    share: Share | None = None
    shuffled: Shuffled | None = None


def rows_that(features: pa.Table, mask: np.ndarray) -> int:
    """Rows with a sequence for which `mask`, one truth value a sequence (shape (n,)), holds."""
    return len(np.unique(features["row"].to_numpy()[mask]))


def cut_texts(rows: pa.Table, features: pa.Table) -> dict[str, int]:
    """`counts` of kinds whose texts are cut by max_length, and nothing else is."""
    num = rows_that(features, features["cut"].to_numpy())
    return {"texts cut by max_length": num} if num else {}


def targets_in_order(targets: Sequence[Any], length: int) -> Tensor:
    """Whole numbers as they are, B x … (`length` does not matter)."""
    return torch.tensor(targets, dtype=torch.long)


def padded_targets(targets: Sequence[Any], length: int) -> Tensor:
    """B x L: one target per token, IGNORED at padding."""
    padded = np.full((len(targets), length), IGNORED, dtype=np.int64)
    for row, target in enumerate(targets):
        padded[row, : len(target)] = target
    return torch.from_numpy(padded)


def feature_table(
    features: Sequence[dict[str, Any]],
    target: pa.DataType,
    more: Mapping[str, pa.DataType] | None = None,
) -> pa.Table:
    """Features in the common form, ordered by unit."""
    columns = {
        "row": pa.int32(),
        "unit": pa.int32(),
        "input_ids": pa.list_(pa.int32()),
        "cut": pa.bool_(),
    }
    schema = pa.schema({**columns, "target": target, **(more or {})})
    return pa.Table.from_pylist(
        sorted(features, key=lambda feature: feature["unit"]), schema=schema
    )


def outcome_table(
    ids: Sequence[str], predictions: Sequence[str], outcomes: Sequence[Outcome]
) -> pa.Table:
    """`id`, `prediction` and the metric's columns; null where a score does not apply."""
    columns = {
        name: pa.array([outcome[name] for outcome in outcomes], pa.float64())
        for name in outcomes[0]
    }
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "prediction": pa.array(predictions, pa.string()),
            **columns,
        }
    )


def scores(outcomes: pa.Table, chance: float, depths: Sequence[float] = ()) -> list[Score]:
    """The metrics of one language, the main one first, then those at other depths.

    `chance` is the main metric's, at every depth; that of others is 0. `depths`: of the kind's
    sweep; those that the outcomes do not have are passed over.
    """
    table = outcomes.drop_columns(["id", "prediction"])
    swept = {column_at(name, depth) for name in table.column_names for depth in depths}
    own = [name for name in table.column_names if name not in swept]
    found: list[Score] = []
    for depth in (None, *depths):
        columns = own if depth is None else [column_at(name, depth) for name in own]
        if not set(columns) <= set(table.column_names):
            continue
        values = aggregate(table.select(columns).rename_columns(own).to_pylist())
        main = next(iter(values))
        found += [
            Score(
                metric=name,
                depth=None if depth is None else round(depth, 2),
                value=value,
                n=table.num_rows,
                chance=chance if name == main else 0.0,
                main=depth is None and name == main,
            )
            for name, value in values.items()
        ]
    return found
