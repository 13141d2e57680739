"""Parameters from a folder of safetensors: each rank reads only the bytes that it keeps."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scaling.encoders.checkpoint import (
    BadWeights,
    Stored,
    TensorSpec,
    as_bytes,
    read_index,
    share_out,
)
from scaling.encoders.encoder import Encoder, Weights
from scaling.encoders.word_rows import StoredRows, with_rows_of_words
from scaling.kinds.heads import TiedHead

LM_HEAD = "lm_head."


# Elements that are rounded and added to a checksum at a time, so that no second copy of a chunk is
# ever in memory.
_PIECE = 1 << 20


class Filled(NamedTuple):
    """What a parameter was filled with: elements start … stop of the flattened tensor."""

    start: int
    stop: int
    checksum: int
    """CRC-32 of the elements, in the precision in which they will compute."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was filled from a folder, to check again once DeepSpeed holds the parameters."""

    parameters: Mapping[str, nn.Parameter]
    filled: Mapping[str, Filled]
    dtype: torch.dtype | None
    """In which they will compute; None for the parameters' own."""
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Which rows of the word embedding were filled, by its name, shape (R,); {} for all."""


@contextmanager
def freed_at_once() -> Iterator[None]:
    """Within the block, glibc returns freed memory to the system at once.

    glibc learns from large blocks that are freed to keep such blocks, up to 32 MiB. While layers
    are made and cut into slices, the blocks that it keeps would take as much memory again.
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
    rows: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, Filled]:
    """Fill parameters by name: whole ones, or under ZeRO-3 this rank's slice of each.

    All ranks call it. Gives what each was filled with. Memory beyond the parameters: 16 MiB. The
    ranks share out the checking of the tensors' SHA-256 by bytes, and check while they read where
    they read whole tensors. BadWeights names every tensor that is missing, of another shape, or
    unexpected: there, not wanted, and without an `ignored` prefix.

    Args:
        wanted: The parameters to fill, by their names in the folder.
        folder: A folder of safetensors files.
        rank: Of this process.
        size: Number of ranks.
        ignored: Prefixes of tensors that the folder may have beside the wanted ones.
        dtype: The precision of the checksums, in which the parameters will compute; None: their
            own.
        rows: Which of the word embedding are wanted, by its name, shape (R,); {}: all.
    """
    stored = with_rows_of_words(read_index(folder), rows)
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
    specs = [TensorSpec(name, stored[name].dtype, stored[name].shape) for name in wanted]
    mine = {spec.name for spec in share_out(specs, size)[rank]}
    with torch.no_grad():
        return {
            name: _fill(parameter, stored[name], rank, name in mine, dtype or parameter.dtype)
            for name, parameter in wanted.items()
        }


def _fill(
    parameter: Any, stored: Stored | StoredRows, rank: int, check: bool, dtype: torch.dtype
) -> Filled:
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
    rows: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[str]:
    """Names of parameters that no longer hold what `load_tensors` filled them with.

    The files are read again only for parameters that were filled whole and cut into slices since,
    which are heads.

    Args:
        wanted: The parameters, by their names in the folder.
        filled: What `load_tensors` gave.
        folder: The folder that they were filled from.
        rank: Of this process.
        dtype: The precision of the checksums, as given to `load_tensors`.
        rows: As given to `load_tensors`, each of shape (R,).
    """
    stored = with_rows_of_words(read_index(folder), rows)
    return [
        name
        for name, parameter in wanted.items()
        if not _holds(parameter, filled[name], stored[name], rank, dtype or parameter.dtype)
    ]


def _holds(
    parameter: Any, filled: Filled, stored: Stored | StoredRows, rank: int, dtype: torch.dtype
) -> bool:
    """Whether a parameter holds what it was filled with."""
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
    """CRC-32 of what came before and these values (of any shape).

    It finds mistakes of ours. Tampering is found by the index's SHA-256.
    """
    for piece in values.split(_PIECE):
        checksum = zlib.crc32(as_bytes(piece.to(dtype)), checksum)
    return checksum


def _shape(parameter: Any) -> tuple[int, ...]:
    # Under ZeRO-3 a parameter is empty, and its real shape is noted beside it.
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def _part(parameter: Any, numel: int, rank: int) -> tuple[Tensor, int, int]:
    """(where it is held, start, stop): a flat tensor, shape (N,), and the range of its elements.

    That is the whole tensor, or under ZeRO-3 this rank's slice: ZeRO-3 cuts the flattened tensor
    into equal slices in the order of ranks, the last one padded.
    """
    sliced = getattr(parameter, "ds_tensor", None)
    if sliced is None:
        return parameter.detach().view(-1), 0, numel
    start = min(rank * sliced.numel(), numel)
    return sliced.detach(), start, min(start + sliced.numel(), numel)


def stored_lm_head(weights: Weights) -> dict[str, Stored]:
    """The tensors of a checkpoint's masked-LM head by name.

    {} where it has none, and where the weights are random.
    """
    if weights.random_init is not None:
        return {}
    return {
        name: stored
        for name, stored in read_index(weights.folder).items()
        if name.startswith(LM_HEAD)
    }


def tied_heads(model: Encoder) -> list[TiedHead]:
    """The heads of a model that decode with the word embeddings (masked LM), in order."""
    return [head for head in model.heads if isinstance(head, TiedHead)]


def parameters_in_file(model: Encoder) -> dict[str, nn.Parameter]:
    """The parameters that a folder of weights has of a model, by their names there.

    The encoder has the names of a plain Hugging Face encoder, whether or not adapters lie beside
    its weights, and the head stands under `head.`. Of several heads only the first is stored. A
    pretrained masked-LM head keeps transformers' names instead, whichever head it is.
    """
    heads = model.heads
    pretrained = [
        number
        for number, head in enumerate(heads)
        if isinstance(head, TiedHead) and head.bias is not None
    ]
    named = (
        (_name_in_file(name, len(heads), pretrained[0] if pretrained else None), parameter)
        for name, parameter in model.named_parameters()
    )
    return {name: parameter for name, parameter in named if name is not None}


def _name_in_file(name: str, num_heads: int, lm_head: int | None) -> str | None:
    """Name of a parameter in a folder of weights; None if the folder does not have it.

    `lm_head`: number of the head that is a pretrained masked-LM head.
    """
    if name.startswith("encoder."):
        # An adapter is merged into its weight before the weight is stored.
        plain = name.removeprefix("encoder.").replace(".base_layer.", ".")
        return None if ".lora_" in plain else plain
    own = name.removeprefix("head.")
    number = 0
    if num_heads > 1:
        prefix, _, own = own.partition(".")
        number = int(prefix)
    if number == lm_head:
        # transformers calls the norm `layer_norm`.
        return f"{LM_HEAD}{'layer_' if own.startswith('norm') else ''}{own}"
    return f"head.{own}" if number == 0 else None
