"""Parameters from a folder of safetensors: each rank reads the bytes that it keeps, and no
others.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scaling.encoders.checkpoint import BadWeights, Spec, Stored, as_bytes, read_index, share_out
from scaling.encoders.encoder import Encoder, Weights
from scaling.kinds.heads import TiedHead

LM_HEAD = "lm_head."


# Elements that are rounded and added to a checksum at once: no second chunk is ever in memory.
_PIECE = 1 << 20


class Filled(NamedTuple):
    """What a parameter was filled with."""

    start: int
    """First element of the flattened tensor."""
    stop: int
    checksum: int
    """Of the elements, in the precision in which they will compute."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was filled from a folder, and how to see that it is still there once DeepSpeed holds
    it.
    """

    parameters: Mapping[str, nn.Parameter]
    filled: Mapping[str, Filled]
    dtype: torch.dtype | None
    """In which they will compute; None for the parameters' own."""


@contextmanager
def freed_at_once() -> Iterator[None]:
    """What is freed here goes back to the system at once (glibc): layers that are cut into slices
    leave no holes.

    glibc learns from large blocks that are freed to keep such blocks, up to 32 MiB, and then fills
    memory twice.
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
    wanted: Mapping[str, nn.Parameter],
    folder: Path,
    rank: int,
    size: int,
    ignored: tuple[str, ...] = (),
    dtype: torch.dtype | None = None,
) -> dict[str, Filled]:
    """Fill parameters by name, on every rank; whole ones, or under ZeRO-3 this rank's slice of
    each.

    Gives what each was filled with, its checksum rounded to `dtype`, in which it will compute
    (None: its own). Memory beyond the parameters: 16 MiB. The ranks share out the checking of the
    tensors' SHA-256 by bytes, and check while they read where they read whole tensors. BadWeights
    names every tensor that is missing, of another shape, or unexpected: there and not wanted,
    without an `ignored` prefix.
    """
    stored = read_index(folder)
    unexpected = sorted(
        name for name in stored if name not in wanted and not name.startswith(ignored)
    )
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
            f"{folder}: "
            + "; ".join(f"{what}: {', '.join(names)}" for what, names in wrong.items() if names)
        )
    specs = [Spec(name, stored[name].dtype, stored[name].shape) for name in wanted]
    mine = {spec.name for spec in share_out(specs, size)[rank]}
    with torch.no_grad():
        return {
            name: _fill(parameter, stored[name], rank, name in mine, dtype or parameter.dtype)
            for name, parameter in wanted.items()
        }


def _fill(parameter: Any, stored: Stored, rank: int, check: bool, dtype: torch.dtype) -> Filled:
    """Copy this rank's part of a tensor into its parameter; what that was, in `dtype`."""
    target, start, stop = _part(parameter, stored.numel, rank)
    whole = (start, stop) == (0, stored.numel)
    if check and not whole:
        stored.check()
    checksum, at = 0, 0
    for chunk in stored.checked() if check and whole else stored.chunks(start, stop):
        target[at : at + len(chunk)].copy_(chunk)
        checksum = _add(checksum, chunk, dtype)
        at += len(chunk)
    return Filled(start, stop, checksum)


def differing(
    wanted: Mapping[str, nn.Parameter],
    filled: Mapping[str, Filled],
    folder: Path,
    rank: int,
    dtype: torch.dtype | None = None,
) -> list[str]:
    """Names of parameters that no longer hold what `load_tensors` filled them with, rounded to the
    same `dtype`.

    The files are read again only for parameters that were filled whole and cut into slices since:
    heads.
    """
    stored = read_index(folder)
    return [
        name
        for name, parameter in wanted.items()
        if not _holds(parameter, filled[name], stored[name], rank, dtype or parameter.dtype)
    ]


def _holds(parameter: Any, filled: Filled, stored: Stored, rank: int, dtype: torch.dtype) -> bool:
    target, start, stop = _part(parameter, stored.numel, rank)
    checksum = 0
    for piece in target[: stop - start].split(_PIECE):
        checksum = _add(checksum, piece.cpu(), dtype)
    expected = filled.checksum
    if (start, stop) != (filled.start, filled.stop):
        expected = 0
        for chunk in stored.chunks(start, stop):
            expected = _add(expected, chunk, dtype)
    return checksum == expected


def _add(checksum: int, values: Tensor, dtype: torch.dtype) -> int:
    """CRC-32 of what came before and these values. It tells a mistake; tampering is what the
    index's SHA-256 tells.
    """
    for piece in values.split(_PIECE):
        checksum = zlib.crc32(as_bytes(piece.to(dtype)), checksum)
    return checksum


def _shape(parameter: Any) -> tuple[int, ...]:
    # Under ZeRO-3 a parameter is empty, and its real shape is noted beside it.
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def _part(parameter: Any, numel: int, rank: int) -> tuple[Tensor, int, int]:
    """(where it is held, start, stop): the whole flattened tensor, or the elements of this rank's
    slice.

    ZeRO-3 cuts the flattened tensor into equal slices in the order of ranks, the last one padded.
    """
    sliced = getattr(parameter, "ds_tensor", None)
    if sliced is None:
        return parameter.detach().view(-1), 0, numel
    start = min(rank * sliced.numel(), numel)
    return sliced.detach(), start, min(start + sliced.numel(), numel)


def names_in_file(parameters: Sequence[tuple[str, nn.Parameter]]) -> dict[str, nn.Parameter]:
    """The encoder's tensors under their own names, the head's under `head.`."""
    return {name.removeprefix("encoder."): p for name, p in parameters}


def stored_lm_head(weights: Weights) -> dict[str, Stored]:
    """The masked-LM head of a checkpoint; {} where it has none, and where nothing is loaded from
    it.
    """
    if weights.random_init is not None:
        return {}
    return {
        name: stored
        for name, stored in read_index(weights.folder).items()
        if name.startswith(LM_HEAD)
    }


def tied_heads(model: Encoder) -> list[TiedHead]:
    return [head for head in model.heads if isinstance(head, TiedHead)]


def parameters_in_file(
    model: Encoder, parameters: Sequence[tuple[str, nn.Parameter]]
) -> dict[str, nn.Parameter]:
    """Parameters by their names in a file. A pretrained masked-LM head keeps transformers' names
    and is no new head.
    """
    pretrained = {
        f"{LM_HEAD}{'layer_' if name.startswith('norm') else ''}{name}": parameter
        for tied in tied_heads(model)[:1]
        for name, parameter in tied.named_parameters()
        if tied.bias is not None
    }
    taken = {id(parameter) for parameter in pretrained.values()}
    others = {name: p for name, p in names_in_file(parameters).items() if id(p) not in taken}
    return {**others, **pretrained}
