"""Batches: the same examples in the same updates whatever the hardware; similar lengths together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from scaling.kinds.kind import PAD, Kind
from scaling.recipes import Recipe

# Batches are cut from pools of so many: long enough to sort lengths well, short enough to stay a random order.
_POOL = 32


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
            raise ValueError("a text has a token whose embedding was trimmed away; stage the study again")
    return Features(
        input_ids=[flat[a:b] for a, b in pairwise(offsets)],
        targets=table["target"].to_pylist(), units=table["unit"].to_numpy(), cut=sum(table["cut"].to_pylist()),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Batch:
    input_ids: Tensor
    """B x L, padded at the end."""
    mask: Tensor
    targets: Tensor
    units: Tensor
    weight: float
    """Terms of the loss in this micro-batch."""
    tokens: int


def collate(features: Features, kind: Kind, chosen: Sequence[int], draw: int = 0) -> Batch:
    """The sequences `chosen`, padded to the longest of them. `draw` numbers what is random about them (masking)."""
    targets = [features.targets[index] for index in chosen]
    weight = kind.loss_weight(targets)
    sequences = [features.input_ids[index] for index in chosen]
    if kind.corrupt:
        both = [kind.corrupt(one, target, draw) for one, target in zip(sequences, targets, strict=True)]
        sequences, targets = [one for one, _ in both], [target for _, target in both]
    longest = max(map(len, sequences))
    ids = np.full((len(chosen), longest), PAD, dtype=np.int64)
    for row, one in enumerate(sequences):
        ids[row, : len(one)] = one
    input_ids = torch.from_numpy(ids)
    return Batch(
        input_ids=input_ids, mask=(input_ids != PAD).long(), targets=kind.targets(targets, longest),
        units=torch.from_numpy(features.units[list(chosen)].astype(np.int64)), weight=weight,
        tokens=int((ids != PAD).sum()),
    )  # fmt: skip


def num_updates(num_units: int, recipe: Recipe) -> int:
    """Updates of a training: every one has a full global batch, the last epoch is topped up from the next one."""
    return max(1, -(-round(num_units * recipe.epochs) // recipe.batch))


def training_order(features: Features, recipe: Recipe, seed: int) -> list[np.ndarray]:
    """Units of every update. Depends on data, recipe and seed alone.

    Each epoch is a permutation; what does not fill its last batch opens the next epoch, with units that are not
    in it yet. Pools of updates are sorted by length and cut into batches, whose order is then shuffled: padding falls
    to a few per cent while every example keeps its place in the epoch.
    """
    rng = np.random.default_rng([seed, 20_051_3013])
    num, batch, updates = features.num_units, recipe.batch, num_updates(features.num_units, recipe)
    lengths = np.zeros(num, dtype=np.int64)
    # Units of -1 are scored only.
    trained = features.units >= 0
    np.maximum.at(lengths, features.units[trained], features.lengths[trained])
    order: list[np.ndarray] = []
    left = np.zeros(0, dtype=np.int64)
    while len(order) < updates:
        epoch = rng.permutation(num)
        if len(left):
            # Units that the batch has already come last: a batch holds one twice only if there are too few.
            epoch = np.concatenate([epoch[~np.isin(epoch, left)], epoch[np.isin(epoch, left)]])
            first, epoch = np.concatenate([left, epoch])[:batch], epoch[max(0, batch - len(left)) :]
            if len(first) < batch:
                left = first
                continue
            order.append(first)
        full = len(epoch) // batch * batch
        for start in range(0, full, _POOL * batch):
            pool = epoch[start : min(start + _POOL * batch, full)]
            pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch)
            order += list(pool[rng.permutation(len(pool))])
        left = epoch[full:]
    return order[:updates]


def micro_batches(update: np.ndarray, features: Features, micro: int, rank: int, workers: int) -> list[list[int]]:
    """Sequences of one rank's micro-batches for one update: an even share, neighbours in length together."""
    first = np.searchsorted(features.units, update, side="left")
    last = np.searchsorted(features.units, update, side="right")
    blocks = list(zip(first.tolist(), last.tolist(), strict=True))
    mine = [blocks[start : start + micro] for start in range(0, len(blocks), micro)][rank::workers]
    return [[index for a, b in block for index in range(a, b)] for block in mine]


def scoring_batches(features: Features, tokens: int) -> Iterator[list[int]]:
    """Sequences longest first, so many padded tokens at a time: the first batch is the one that could not fit."""
    lengths = features.lengths
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, tokens // int(lengths[order[start]]))
        yield [int(index) for index in order[start : start + count]]
        start += count
