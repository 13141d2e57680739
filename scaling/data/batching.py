"""Batches: the same examples in the same updates on any hardware, cut into passes by length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from scaling.data.features import Features
from scaling.kinds.kind import Kind
from scaling.kinds.text import PAD

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences of one pass, padded to the longest of them."""

    input_ids: Tensor
    """B x L, padded at the end."""
    mask: Tensor
    """B x L: 1 at real tokens."""
    targets: Tensor
    """B x …, as the kind makes them."""
    units: Tensor
    """B: the training unit of each sequence."""
    offsets: Tensor
    """B + 1, int32: where each sequence begins if all lie behind each other, and where they end."""
    lengths: tuple[int, ...]
    """Real tokens of each sequence: what the device would have to be waited for."""
    weight: float
    """Terms of the loss in this pass."""

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(self.lengths)

    def pinned(self) -> Batch:
        """The batch in page-locked memory, which a GPU copies from while it computes.

        Without a GPU it is the batch as it is.
        """
        if not torch.cuda.is_available():
            return self
        return replace(self, **{name: getattr(self, name).pin_memory() for name in _TENSORS})

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; pinned memory is copied while the caller goes on."""
        return replace(
            self, **{name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS}
        )


_TENSORS = ("input_ids", "mask", "targets", "units", "offsets")


def ahead(make: Callable[[int], T], count: int, start: int = 0) -> Iterator[T]:
    """`make` of `start` … `count - 1`, each made while the caller works on the one before."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(make, start) if start < count else None
        for number in range(start, count):
            assert following is not None
            ready = following.result()
            following = thread.submit(make, number + 1) if number + 1 < count else None
            yield ready


def collate(features: Features, kind: Kind, chosen: Sequence[int], draw: int = 0) -> Batch:
    """The sequences `chosen`, padded to the longest of them.

    Args:
        features: The split.
        kind: How its targets become tensors, and what is masked.
        chosen: Indices of sequences.
        draw: Numbers what is random about the batch (masking).
    """
    targets = [features.targets[index] for index in chosen]
    weight = kind.loss_weight(targets)
    sequences = [features.input_ids[index] for index in chosen]
    if kind.corrupt:
        both = [
            kind.corrupt(one, target, draw) for one, target in zip(sequences, targets, strict=True)
        ]
        sequences, targets = [one for one, _ in both], [target for _, target in both]
    lengths = tuple(map(len, sequences))
    longest = max(lengths)
    ids = np.full((len(chosen), longest), PAD, dtype=np.int64)
    mask = np.zeros((len(chosen), longest), dtype=np.int64)
    for row, one in enumerate(sequences):
        ids[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return Batch(
        input_ids=torch.from_numpy(ids),
        mask=torch.from_numpy(mask),
        targets=kind.targets(targets, longest),
        units=torch.from_numpy(features.units[list(chosen)].astype(np.int64)),
        offsets=torch.from_numpy(np.cumsum((0, *lengths), dtype=np.int32)),
        lengths=lengths,
        weight=weight,
    )


def micro_batches(
    update: np.ndarray,
    features: Features,
    tokens: int,
    longest: int,
    rank: int,
    workers: int,
    together: int = 1,
    pass_tokens: float = math.inf,
) -> list[list[int]]:
    """Sequences of one rank's passes for one update, the same number of passes on all ranks.

    A pass takes whole units, shortest first. What is summed over an update does not depend on how
    it is cut. ValueError if there are fewer units than ranks.

    Args:
        update: Units of the update, shape (n,).
        features: What they are units of.
        tokens: Padded tokens that a pass may have, unless it is a single block.
        longest: The most tokens that a sequence counts for.
        rank: Whose passes.
        workers: How many ranks there are.
        together: Units of a block, which the ranks compute at the same time and in the order of the
            update: each as many of them, the first rank the first ones.
        pass_tokens: What a pass costs besides its tokens, in tokens. The update is cut further
            where that leaves out more padding; never for inf.
    """
    # Units that belong to no block go to any rank whole; all ranks share a block.
    shared, together = together > 1, min(together, len(update))
    size = math.lcm(together, workers) if shared else 1
    blocks = [update[start : start + size] for start in range(0, len(update), size)]
    if len(update) < workers or (shared and len(update) % size):
        raise ValueError(
            f"{len(update)} examples in blocks of {together} do not give each of {workers}"
            " workers as many"
        )
    sequences = [sequences_of(block, features) for block in blocks]
    lengths = np.array(
        [min(longest, max(len(features.input_ids[index]) for index in one)) for one in sequences]
    )
    order = np.argsort(lengths, kind="stable")
    counts = np.array([len(sequences[at]) // (workers if shared else 1) for at in order])
    cut = _cut(lengths[order], counts, tokens, 1 if shared else workers, pass_tokens)
    passes = [
        [index for at in order[start:stop] for index in sequences[at]]
        for start, stop in pairwise(cut)
    ]
    return [_part(one, rank, workers) for one in passes] if shared else passes[rank::workers]


def _part(sequences: list[int], rank: int, workers: int) -> list[int]:
    """One rank's of the sequences that all ranks share."""
    each = len(sequences) // workers
    return sequences[rank * each : (rank + 1) * each]


def sequences_of(units: np.ndarray, features: Features) -> list[int]:
    """The sequences of some units, shape (n,), in the order of the units."""
    first = np.searchsorted(features.units, units, side="left")
    last = np.searchsorted(features.units, units, side="right")
    return [
        index for a, b in zip(first.tolist(), last.tolist(), strict=True) for index in range(a, b)
    ]


# More passes of a rank than this are not tried: each saves less padding than the one before.
_MOST_ROUNDS = 8


def _cut(
    longest: np.ndarray, sequences: np.ndarray, tokens: int, workers: int, pass_tokens: float
) -> list[int]:
    """Edges that cut ascending blocks into passes, in the number that takes least time.

    longest, sequences: shape (n,), by block. A pass has at most `tokens` padded tokens, or one
    block. The number is a multiple of `workers`.
    """
    needed = -(-(len(_greedy(longest, sequences, tokens)) - 1) // workers)
    most = len(longest) // workers
    least = min(needed, most)
    rounds = range(least, max(least, min(most, _MOST_ROUNDS)) + 1)
    if pass_tokens == math.inf:
        return _even(longest, sequences, least * workers)

    def time(edges: list[int]) -> float:
        padded = np.add.reduceat(sequences, edges[:-1]) * longest[np.array(edges[1:]) - 1]
        # All ranks wait for the slowest of a round.
        slowest = padded.reshape(-1, workers).max(1)
        return float(slowest.sum() + pass_tokens * len(slowest))

    return min((_even(longest, sequences, one * workers) for one in rounds), key=time)


def _even(longest: np.ndarray, sequences: np.ndarray, number: int) -> list[int]:
    """Edges of so many passes with the least in the fullest. longest, sequences: shape (n,)."""
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
    """Edges of passes of at most `tokens`, or one block. longest, sequences: shape (n,)."""
    edges, held = [0], 0
    for at, (length, count) in enumerate(zip(longest.tolist(), sequences.tolist(), strict=True)):
        if held and (held + count) * length > tokens:
            edges.append(at)
            held = 0
        held += count
    return [*edges, len(longest)]


def scoring_batches(features: Features, tokens: int) -> Iterator[list[int]]:
    """Sequences longest first, at most `tokens` padded tokens at a time.

    The first batch needs most memory, so that it is the one that fails if any does.
    """
    lengths = features.lengths
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, tokens // int(lengths[order[start]]))
        yield [int(index) for index in order[start : start + count]]
        start += count
