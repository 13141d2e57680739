"""Vectors of scored sequences, which stay on the ranks that computed them, and their neighbours.

Each rank ranks its own candidates; scores and indices of the best are what the ranks exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scaling.encoders.world import World
from scaling.kinds.metrics.neighbours import QUERY_BLOCK, best_of, top_k, unit_rows

# Of the memory that is free on a GPU, the share that vectors may take; more lie on the host.
DEVICE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class SharedVectors:
    """As `scaling.kinds.kind.Vectors`: those of all ranks, of which this one has its own."""

    own: Tensor
    """M x D x H, in the precision of the computation."""
    rank_of: np.ndarray
    """Shape (N,): which rank has each of all vectors."""
    row_of: np.ndarray
    """Shape (N,): where it has it."""
    world: World
    alive: Callable[[], None]
    """Called whenever a block of candidates was searched."""

    @property
    def depths(self) -> int:
        """D."""
        return self.own.shape[1]

    def nearest(
        self, queries: np.ndarray, candidates: np.ndarray, k: int, depth: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `scaling.kinds.kind.Vectors.nearest`.

        Args:
            queries: Numbers of vectors, shape (n,).
            candidates: The same, shape (m,).
            k: How many are wanted.
            depth: Which of each sequence's vectors.
        """
        # Equal sequences have one vector, which is ranked once: by its first candidate.
        distinct, first = np.unique(candidates, return_index=True)
        by_first = np.argsort(first)
        distinct, first = distinct[by_first], first[by_first]
        here = np.flatnonzero(self.rank_of[distinct] == self.world.rank)
        rows, places = self.row_of[distinct[here]], self._tensor(here)
        size = QUERY_BLOCK[self.world.device.type]
        scores, found = [], []
        for start in range(0, len(queries), size):
            block = self._whole(queries[start : start + size], depth)
            best, at = self._ranked(block, rows, min(k, len(here)), depth)
            both = self._of_all(best, places[at] if len(here) else at, min(k, len(distinct)))
            scores.append(both[0].cpu().numpy())
            found.append(both[1].cpu().numpy())
        if not found:
            return np.empty((0, min(k, len(candidates))), np.float32), np.empty((0, k), np.int64)
        ranked = np.concatenate(scores), np.concatenate(found)
        if len(distinct) == len(candidates):
            return ranked[0], first[ranked[1]]
        members = _members(candidates, distinct, k)
        return _spread(*ranked, members, len(candidates), min(k, len(candidates)))

    def _tensor(self, numbers: np.ndarray) -> Tensor:
        """Whole numbers, of any shape, on this rank's device."""
        return torch.from_numpy(numbers).to(self.world.device)

    def _units(self, rows: np.ndarray, depth: int) -> Tensor:
        """Own vectors of these rows, shape (n,), on this rank's device and of length 1: n x H."""
        at = torch.from_numpy(rows).to(self.own.device)
        return unit_rows(self.own[at, depth].to(self.world.device))

    def _whole(self, numbers: np.ndarray, depth: int) -> Tensor:
        """Vectors of all ranks, of these numbers, shape (n,), and of length 1: n x H."""
        mine = np.flatnonzero(self.rank_of[numbers] == self.world.rank)
        whole = torch.zeros((len(numbers), self.own.shape[2]), device=self.world.device)
        whole[self._tensor(mine)] = self._units(self.row_of[numbers[mine]], depth)
        return self.world.summed(whole)

    def _ranked(
        self, queries: Tensor, rows: np.ndarray, k: int, depth: int
    ) -> tuple[Tensor, Tensor]:
        """`top_k` among own vectors of these rows, shape (m,). queries: n x H."""
        if not k:
            empty = queries.new_empty((len(queries), 0))
            return empty, empty.long()

        def read(start: int, stop: int) -> Tensor:
            self.alive()
            return self._units(rows[start:stop], depth)

        return top_k(queries, read, len(rows), k)

    def _of_all(self, scores: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k best of each row over all ranks. scores, places: n x each rank's own number."""
        if self.world.size == 1:
            return scores, places
        short = k - scores.shape[1]
        scores = torch.nn.functional.pad(scores, (0, short), value=-torch.inf)
        places = torch.nn.functional.pad(places, (0, short), value=torch.iinfo(torch.long).max)
        both = [
            self.world.rows(one).unflatten(0, (self.world.size, -1)).transpose(0, 1).flatten(1)
            for one in (scores, places)
        ]
        return best_of(both[0], both[1], k)


def _members(candidates: np.ndarray, distinct: np.ndarray, k: int) -> np.ndarray:
    """Of each distinct one, shape (u,), its first candidates, at most k: u x most.

    Behind them stands the number of all candidates.
    """
    place = np.empty(int(distinct.max()) + 1, np.int64)
    place[distinct] = np.arange(len(distinct))
    places = place[candidates]
    order = np.argsort(places, kind="stable")
    counts = np.bincount(places, minlength=len(distinct))
    starts = np.cumsum(counts) - counts
    within = np.arange(len(order)) - np.repeat(starts, counts)
    table = np.full((len(distinct), min(k, int(counts.max()))), len(candidates), np.int64)
    kept = within < table.shape[1]
    table[places[order][kept], within[kept]] = order[kept]
    return table


def _spread(
    scores: np.ndarray, found: np.ndarray, members: np.ndarray, count: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best candidates of each row, given the best distinct ones.

    Args:
        scores: Of the distinct ones, n x d.
        found: Which they are, n x d.
        members: Of `_members`, u x most.
        count: How many candidates there are.
        k: How many are wanted.
    """
    indices = members[found].reshape(len(found), -1)
    spread = np.repeat(scores, members.shape[1], axis=1)
    spread[indices == count] = -np.inf
    order = np.lexsort((indices, -spread), axis=1)[:, :k]
    return np.take_along_axis(spread, order, axis=1), np.take_along_axis(indices, order, axis=1)


def kept_on(needed: int, device: torch.device) -> torch.device:
    """Where so many bytes of vectors are kept."""
    if device.type == "cuda" and needed > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return torch.device("cpu")
    return device


class OwnVectors:
    """The vectors of one rank's batches, put where they stay as they are computed."""

    def __init__(self, batches: Sequence[Sequence[int]], world: World) -> None:
        """`batches`: sequences of the batches of all ranks, which take turns with them."""
        count, rows = sum(map(len, batches)), [0] * world.size
        self.rank_of, self.row_of = np.empty(count, np.int64), np.empty(count, np.int64)
        for number, batch in enumerate(batches):
            rank, chosen = number % world.size, list(batch)
            self.rank_of[chosen] = rank
            self.row_of[chosen] = np.arange(rows[rank], rows[rank] + len(chosen))
            rows[rank] += len(chosen)
        self.world, self._count, self._filled = world, rows[world.rank], 0
        self._own: Tensor | None = None

    def add(self, found: Tensor, *, repeated: bool) -> None:
        """Vectors of this rank's next batch, B x D x H; `repeated` ones are another rank's."""
        if self._own is None:
            needed = self._count * found[0].numel() * found.element_size()
            place = kept_on(needed, self.world.device)
            self._own = found.new_empty((self._count, *found.shape[1:]), device=place)
        if not repeated:
            self._own[self._filled : self._filled + len(found)].copy_(found, non_blocking=True)
            self._filled += len(found)

    def shared(self, alive: Callable[[], None]) -> SharedVectors:
        """All ranks' vectors; ValueError on every rank if a number is NaN or infinite.

        All ranks call it. `alive` is called whenever a block of candidates was searched.
        """
        if self._own is None:
            raise ValueError("there is nothing to score")
        if not all(self.world.gather(bool(torch.isfinite(self._own.sum(dtype=torch.float64))))):
            raise ValueError("a vector is not a finite number: look for NaN in the embeddings")
        return SharedVectors(
            own=self._own,
            rank_of=self.rank_of,
            row_of=self.row_of,
            world=self.world,
            alive=alive,
        )
