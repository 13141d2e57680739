"""Batches: the same examples in the same updates whatever the hardware; similar lengths
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from scaling.kinds.kind import PAD, Kind
from scaling.study.mixture import language_counts, num_updates
from scaling.study.recipes import Recipe

T = TypeVar("T")

# Batches are cut from pools of so many, as Hugging Face's grouping by length does: long enough to
# sort lengths well, short enough to stay a random order. Whoever changes what is drawn raises
# ORDER_VERSION in scaling/study/plan.py.
_POOL = 50


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


@dataclass(frozen=True, kw_only=True)
class Batch:
    input_ids: Tensor
    """B x L, padded at the end."""
    mask: Tensor
    targets: Tensor
    units: Tensor
    weight: float
    """Terms of the loss in this pass."""
    tokens: int

    def pinned(self) -> Batch:
        """In page-locked memory, which a GPU copies from while it computes; the same where there is
        none.
        """
        if not torch.cuda.is_available():
            return self
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _TENSORS})

    def to(self, device: torch.device) -> Batch:
        return replace(
            self, **{name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS}
        )


_TENSORS = ("input_ids", "mask", "targets", "units")


def ahead(make: Callable[[int], T], count: int, start: int = 0) -> Iterator[T]:
    """`make` of every number from `start` to `count`, each made while the caller works on the one
    before.
    """
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(make, start) if start < count else None
        for number in range(start, count):
            assert following is not None
            ready = following.result()
            following = thread.submit(make, number + 1) if number + 1 < count else None
            yield ready


def collate(features: Features, kind: Kind, chosen: Sequence[int], draw: int = 0) -> Batch:
    """The sequences `chosen`, padded to the longest of them. `draw` numbers what is random about
    them (masking).
    """
    targets = [features.targets[index] for index in chosen]
    weight = kind.loss_weight(targets)
    sequences = [features.input_ids[index] for index in chosen]
    if kind.corrupt:
        both = [
            kind.corrupt(one, target, draw) for one, target in zip(sequences, targets, strict=True)
        ]
        sequences, targets = [one for one, _ in both], [target for _, target in both]
    longest = max(map(len, sequences))
    ids = np.full((len(chosen), longest), PAD, dtype=np.int64)
    for row, one in enumerate(sequences):
        ids[row, : len(one)] = one
    input_ids = torch.from_numpy(ids)
    return Batch(
        input_ids=input_ids,
        mask=(input_ids != PAD).long(),
        targets=kind.targets(targets, longest),
        units=torch.from_numpy(features.units[list(chosen)].astype(np.int64)),
        weight=weight,
        tokens=int((ids != PAD).sum()),
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


def sampled_order(
    features: Features, sizes: Sequence[int], exponent: float, updates: int, batch: int, seed: int
) -> list[np.ndarray]:
    """Units of every update where languages are sampled: `sizes` units of each language, one behind
    the other.

    Exact: of all that is drawn, each language has its share by largest remainder; inside it every
    unit comes equally often, give or take one. Lengths are sorted as in `training_order`.
    """
    rng = np.random.default_rng([seed, 40_071_3])
    drawn = []
    counts = language_counts(updates * batch, sizes, exponent)
    for start, size, count in zip(np.cumsum([0, *sizes[:-1]]), sizes, counts, strict=True):
        rounds = [rng.permutation(size) for _ in range(-(-count // size))]
        drawn.append(
            start + np.concatenate([np.zeros(0, np.int64), *rounds])[:count].astype(np.int64)
        )
    units = rng.permutation(np.concatenate(drawn))
    lengths = _unit_lengths(features)
    return _by_length(units, lengths, batch, rng)


def _by_length(
    units: np.ndarray, lengths: np.ndarray, batch: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Full batches of units: pools are sorted by length and cut, and the order of their batches is
    drawn.
    """
    order: list[np.ndarray] = []
    for start in range(0, len(units), _POOL * batch):
        pool = units[start : start + _POOL * batch]
        pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch)
        order += list(pool[rng.permutation(len(pool))])
    return order


def _unit_lengths(features: Features) -> np.ndarray:
    """Of each unit, its longest sequence."""
    lengths = np.zeros(features.num_units, dtype=np.int64)
    # Units of -1 are scored only.
    trained = features.units >= 0
    np.maximum.at(lengths, features.units[trained], features.lengths[trained])
    return lengths


def training_order(
    features: Features, recipe: Recipe, seed: int, updates: int | None = None
) -> list[np.ndarray]:
    """Units of every update: as many as the recipe's epochs give, or `updates`. Depends on data,
    recipe and seed alone.

    Each epoch is a permutation; what does not fill its last batch opens the next epoch, with units
    that are not in it yet. Pools of updates are sorted by length and cut into batches, whose order
    is then shuffled: padding falls to a few per cent while every example keeps its place in the
    epoch.
    """
    rng = np.random.default_rng([seed, 20_051_3013])
    num, batch = features.num_units, recipe.batch
    updates = num_updates(num, recipe) if updates is None else updates
    lengths = _unit_lengths(features)
    order: list[np.ndarray] = []
    left = np.zeros(0, dtype=np.int64)
    while len(order) < updates:
        epoch = rng.permutation(num)
        if len(left):
            # Units that the batch has already come last: a batch holds one twice only if there are
            # too few.
            epoch = np.concatenate([epoch[~np.isin(epoch, left)], epoch[np.isin(epoch, left)]])
            first, epoch = np.concatenate([left, epoch])[:batch], epoch[max(0, batch - len(left)) :]
            if len(first) < batch:
                left = first
                continue
            order.append(first)
        full = len(epoch) // batch * batch
        order += _by_length(epoch[:full], lengths, batch, rng)
        left = epoch[full:]
    return order[:updates]


def micro_batches(
    update: np.ndarray,
    features: Features,
    tokens: int,
    longest: int,
    rank: int,
    workers: int,
    together: int = 1,
) -> list[list[int]]:
    """Sequences of one rank's passes for one update: as few passes as the budget allows, the same
    number on all ranks.

    A pass takes whole units, shortest first, up to so many padded tokens (`longest` is the most
    that a sequence counts for), and at least one block of `together` units, which stay in the order
    of the update. What is summed over an update does not depend on how it is cut. ValueError if
    there are fewer blocks than ranks.
    """
    blocks = [update[start : start + together] for start in range(0, len(update), together)]
    if len(blocks) < workers:
        raise ValueError(
            f"{len(update)} examples in blocks of {together} do not give each of {workers}"
            " workers one"
        )
    sequences = [sequences_of(block, features) for block in blocks]
    lengths = np.array(
        [min(longest, max(len(features.input_ids[index]) for index in one)) for one in sequences]
    )
    order = np.argsort(lengths, kind="stable")
    cut = _cut(lengths[order], np.array([len(sequences[at]) for at in order]), tokens, workers)
    passes = [
        [index for at in order[start:stop] for index in sequences[at]]
        for start, stop in pairwise(cut)
    ]
    return passes[rank::workers]


def sequences_of(units: np.ndarray, features: Features) -> list[int]:
    """The sequences of some units, in their order."""
    first = np.searchsorted(features.units, units, side="left")
    last = np.searchsorted(features.units, units, side="right")
    return [
        index for a, b in zip(first.tolist(), last.tolist(), strict=True) for index in range(a, b)
    ]


def _cut(longest: np.ndarray, sequences: np.ndarray, tokens: int, workers: int) -> list[int]:
    """Edges that cut ascending blocks into passes of at most `tokens` (or one block), a multiple of
    `workers`.
    """
    edges = _greedy(longest, sequences, tokens)
    number = min(-(-(len(edges) - 1) // workers) * workers, len(longest) // workers * workers)
    # The same number of passes with the least in the fullest of them: all ranks wait for the
    # slowest.
    low, high = int((longest * sequences).max()), int(longest[-1] * sequences.sum())
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if len(_greedy(longest, sequences, middle)) - 1 <= number
            else (middle + 1, high)
        )
    edges = _greedy(longest, sequences, low)
    while len(edges) - 1 < number:
        widest = max(range(len(edges) - 1), key=lambda at: edges[at + 1] - edges[at])
        edges.insert(widest + 1, (edges[widest] + edges[widest + 1]) // 2)
    return edges


def _greedy(longest: np.ndarray, sequences: np.ndarray, tokens: int) -> list[int]:
    edges, held = [0], 0
    for at, (length, count) in enumerate(zip(longest.tolist(), sequences.tolist(), strict=True)):
        if held and (held + count) * length > tokens:
            edges.append(at)
            held = 0
        held += count
    return [*edges, len(longest)]


def scoring_batches(features: Features, tokens: int) -> Iterator[list[int]]:
    """Sequences longest first, so many padded tokens at a time: the first batch is the one that
    could not fit.
    """
    lengths = features.lengths
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, tokens // int(lengths[order[start]]))
        yield [int(index) for index in order[start : start + count]]
        start += count
