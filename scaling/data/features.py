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
    """Token features of one split, ready for batching. Arrays over sequences."""

    input_ids: Sequence[np.ndarray]
    targets: Sequence[Any]
    units: np.ndarray
    """Training unit of each sequence, ascending from 0; -1 before them: never trained on."""
    cut: int

    @property
    def num_units(self) -> int:
        return int(self.units[-1]) + 1 if len(self.units) else 0

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.input_ids])


def as_features(table: pa.Table, lookup: np.ndarray | None) -> Features:
    """A feature table as arrays; token ids become rows of a trimmed matrix where there is one."""
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
    """Several splits as one; their units follow each other."""
    starts = np.cumsum([0, *(part.num_units for part in parts)])
    # Sequences of unit -1 stay in front of their own part only: they are scored, never trained on,
    # and left out here.
    kept = [[index for index, unit in enumerate(part.units) if unit >= 0] for part in parts]
    return Features(
        input_ids=[
            part.input_ids[index] for part, own in zip(parts, kept, strict=True) for index in own
        ],
        targets=[
            part.targets[index] for part, own in zip(parts, kept, strict=True) for index in own
        ],
        units=np.concatenate(
            [
                part.units[own] + start
                for part, own, start in zip(parts, kept, starts[:-1], strict=True)
            ]
        ),
        cut=sum(part.cut for part in parts),
    )
