"""Rows of the word embedding that a training can touch; the others are put back at export.

A row that no text of a training has gets no gradient. Adam leaves it alone, and decoupled weight
decay shrinks it at every update by 1 - learning rate x decay, a factor that is known without it. So
a device holds no weights, gradients or optimizer states for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scaling.encoders.checkpoint import Stored

# Read at a time.
_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Some rows of a stored matrix, read as if they were a tensor of their own."""

    matrix: Stored
    rows: np.ndarray
    """Which, ascending, shape (R,)."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix."""
        return self.matrix.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """R x H."""
        return len(self.rows), *self.matrix.shape[1:]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return int(torch.Size(self.shape).numel())

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Elements start … stop of the flattened rows in chunks (N,), 16 MiB or one row at most."""
        stop = self.numel if stop is None else stop
        if start >= stop:
            return
        count, width = self.matrix.shape
        row_bytes = width * self.dtype.itemsize
        mapped = np.memmap(
            self.matrix.path, np.uint8, "r", offset=self.matrix.at, shape=(count, row_bytes)
        )
        step, last = max(1, _CHUNK_BYTES // row_bytes), -(-stop // width)
        for first in range(start // width, last, step):
            chosen = self.rows[first : min(first + step, last)]
            flat = torch.from_numpy(mapped[chosen]).view(-1).view(self.dtype)
            yield flat[max(0, start - first * width) : stop - first * width]

    def checked(self) -> Iterator[Tensor]:
        """All elements in flat chunks (N,), after the hash of the whole matrix was compared."""
        self.check()
        yield from self.chunks()

    def check(self) -> None:
        """BadWeights if the bytes of the matrix are not those of the index."""
        self.matrix.check()

    def read(self) -> Tensor:
        """All of them, R x H, not compared with any hash."""
        return torch.cat([torch.empty(0, dtype=self.dtype), *self.chunks()]).view(self.shape)


def with_rows_of_words(
    stored: Mapping[str, Stored], rows: Mapping[str, np.ndarray]
) -> dict[str, Stored | StoredRows]:
    """The tensors of a folder, but of a matrix in `rows` the rows in use, shape (R,), alone."""
    found: dict[str, Stored | StoredRows] = dict(stored)
    for name in rows.keys() & stored.keys():
        found[name] = StoredRows(matrix=stored[name], rows=rows[name])
    return found


def other_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """The rows of so many that are not among these, both ascending, shape (R,) and (count - R,)."""
    return np.setdiff1d(np.arange(count), rows, assume_unique=True)


def cut(words: Any, rows: np.ndarray) -> Tensor:
    """Leave a word embedding that is whole these rows, shape (R,); the others."""
    whole = words.weight.detach()
    words.weight = nn.Parameter(whole[torch.from_numpy(rows)])
    words.num_embeddings = len(rows)
    return whole[torch.from_numpy(other_rows(rows, len(whole)))]


@dataclass(kw_only=True)
class Untouched:
    """The rows that a training cannot touch, and what weight decay has made of them."""

    rows: np.ndarray
    """The rows in use, ascending, shape (R,)."""
    others: Tensor
    """The others, in order, as they were before the training: (V - R) x H."""
    weight_decay: float
    factor: float = 1.0
    """What the others have been multiplied by."""
    kept: float = 1.0
    """The factor at the moment whose weights are kept."""

    @property
    def count(self) -> int:
        """V."""
        return len(self.rows) + len(self.others)

    def updated(self, learning_rate: float) -> None:
        """After every update."""
        self.factor *= 1.0 - learning_rate * self.weight_decay

    def whole(self, trained: Tensor) -> Tensor:
        """The embedding V x H, given its trained rows R x H."""
        found = trained.new_empty((self.count, trained.shape[1]))
        found[torch.from_numpy(self.rows)] = trained
        others = (self.others.float() * self.factor).to(trained.dtype)
        found[torch.from_numpy(other_rows(self.rows, self.count))] = others
        return found
