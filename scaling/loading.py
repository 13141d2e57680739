"""Parameters from a folder of safetensors: each rank reads the bytes that it keeps, and no others."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scaling.shards import BadWeights, Stored, read_index


@contextmanager
def freed_at_once() -> Iterator[None]:
    """What is freed here goes back to the system at once (glibc): layers that are cut into slices leave no holes.

    glibc learns from large blocks that are freed to keep such blocks, up to 32 MiB, and then fills memory twice.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    threshold = -3
    libc.mallopt(threshold, 1 << 17)
    try:
        yield
    finally:
        libc.mallopt(threshold, 1 << 25)
        libc.malloc_trim(0)


def load_tensors(
    wanted: Mapping[str, nn.Parameter], folder: Path, rank: int, size: int, ignored: tuple[str, ...] = ()
) -> None:
    """Fill parameters by name, on every rank; whole ones, or under ZeRO-3 this rank's slice of each.

    Memory beyond the parameters: 16 MiB. The ranks share out the checking of the tensors' SHA-256. BadWeights names
    every tensor that is missing, of another shape, or unexpected: there and not wanted, without an `ignored` prefix.
    """
    stored = read_index(folder)
    unexpected = sorted(name for name in stored if name not in wanted and not name.startswith(ignored))
    wrong = {
        "missing": sorted(name for name in wanted if name not in stored),
        "unexpected": unexpected,
        "reshaped": [
            f"{name} is {stored[name].shape}, wanted {_shape(parameter)}"
            for name, parameter in wanted.items()
            if name in stored and stored[name].shape != _shape(parameter)
        ],
    }
    if any(wrong.values()):
        raise BadWeights(
            f"{folder}: " + "; ".join(f"{what}: {', '.join(names)}" for what, names in wrong.items() if names)
        )
    for index, name in enumerate(sorted(wanted)):
        if index % size == rank:
            stored[name].check(name)
    with torch.no_grad():
        for name, parameter in wanted.items():
            for part, chunk in _pairs(parameter, stored[name], rank):
                part.copy_(chunk)


def differing(wanted: Mapping[str, nn.Parameter], folder: Path, rank: int) -> list[str]:
    """Names of parameters whose values are not the folder's, rounded to the parameter's own precision."""
    stored = read_index(folder)
    return [
        name
        for name, parameter in wanted.items()
        if not all(
            torch.equal(part.cpu(), chunk.to(part.dtype)) for part, chunk in _pairs(parameter, stored[name], rank)
        )
    ]


def _shape(parameter: Any) -> tuple[int, ...]:
    # Under ZeRO-3 a parameter is empty, and its real shape is noted beside it.
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def _pairs(parameter: Any, stored: Stored, rank: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(part of the parameter, what the file has for it): of the whole tensor, or of this rank's slice.

    ZeRO-3 cuts the flattened tensor into equal slices in the order of ranks, the last one padded.
    """
    sliced = getattr(parameter, "ds_tensor", None)
    target = parameter.detach().view(-1) if sliced is None else sliced
    start = 0 if sliced is None else rank * target.numel()
    stop = min(start + target.numel(), stored.numel)
    at = 0
    for chunk in stored.chunks(start, stop) if start < stop else ():
        yield target[at : at + len(chunk)], chunk
        at += len(chunk)


def names_in_file(parameters: Sequence[tuple[str, nn.Parameter]]) -> dict[str, nn.Parameter]:
    """The encoder's tensors under their own names, the head's under `head.`."""
    return {name.removeprefix("encoder."): p for name, p in parameters}
