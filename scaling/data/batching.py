"""Batches: the same examples in the same updates whatever the hardware; similar lengths
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from scaling.data.features import Features
from scaling.kinds.kind import PAD, Kind

T = TypeVar("T")


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
