"""Token features of examples: what kinds encode and batches are cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Features:
    """Token features of one split, ready for batching: N sequences."""

    input_ids: Sequence[np.ndarray]
    """Of each sequence an array (L,)."""
    targets: Sequence[Any]
    """Of each sequence what its kind trains on."""
    units: np.ndarray
    """Training unit of each sequence, shape (N,), ascending from 0; -1 first: never trained on."""
    cut: int
    """Sequences whose text max_length cut."""

    def selected(self, chosen: Sequence[int] | np.ndarray) -> Features:
        """The sequences of these indices, shape (n,), in this order; `cut` stays the split's."""
        return Features(
            input_ids=[self.input_ids[index] for index in chosen],
            targets=[self.targets[index] for index in chosen],
            units=self.units[chosen],
            cut=self.cut,
        )

    @property
    def num_units(self) -> int:
        """Training units."""
        return int(self.units[-1]) + 1 if len(self.units) else 0

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sequence, shape (N,)."""
        return np.array([len(ids) for ids in self.input_ids])


def as_features(table: pa.Table, lookup: np.ndarray | None) -> Features:
    """A feature table as arrays.

    `lookup`: token id → row of a trimmed matrix, shape (V,), to which ids are changed; None keeps
    them.
    """
    column = table["input_ids"].combine_chunks()
    flat, offsets = column.values.to_numpy().astype(np.int64), column.offsets.to_numpy()
    if lookup is not None:
        flat = lookup[flat]
        if (flat < 0).any():
            raise ValueError(
                "a text has a token whose embedding was trimmed away; stage the study again"
            )
    return Features(
        input_ids=[flat[a:b] for a, b in pairwise(offsets)],
        targets=table["target"].to_pylist(),
        units=table["unit"].to_numpy(),
        cut=sum(table["cut"].to_pylist()),
    )


def joined(parts: Sequence[Features]) -> Features:
    """Several splits as one to train on, in which their units follow each other.

    Sequences of unit -1, which are scored only, are left out.
    """
    starts = np.cumsum([0, *(part.num_units for part in parts)])[:-1]
    trained = [part.selected(np.flatnonzero(part.units >= 0)) for part in parts]
    units = [part.units + start for part, start in zip(trained, starts, strict=True)]
    return _behind_each_other(trained, np.concatenate(units))


def joined_for_scoring(parts: Sequence[Features]) -> Features:
    """All sequences of several splits in order, each a unit of its own."""
    return _behind_each_other(parts, np.arange(sum(len(part.input_ids) for part in parts)))


def _behind_each_other(parts: Sequence[Features], units: np.ndarray) -> Features:
    """The sequences of all parts. units: of all sequences, shape (N,)."""
    return Features(
        input_ids=[ids for part in parts for ids in part.input_ids],
        targets=[target for part in parts for target in part.targets],
        units=units,
        cut=sum(part.cut for part in parts),
    )
