"""Folders of safetensors files with an index of tensors and hashes, read and written in slices.

The format is Hugging Face's (`model.safetensors`, or `model-00001-of-00004.safetensors` with
`model.safetensors.index.json`); the index also holds the SHA-256 of every tensor's bytes and of
every file's header. Together these are all bytes of a file, so whoever trusts the index need not
hash whole files. Files are read and not mapped, so that a process's memory never counts a
checkpoint that it only passes through.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scaling.spec import UserError
from scaling.store.cache import INDEX
from scaling.store.paths import is_part

SHARD_BYTES = 4_000_000_000


_CHUNK_BYTES = 1 << 24


DTYPES = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class BadWeights(UserError):
    """Weights that cannot be used as they are: which file or tensor, and why."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Where a tensor lies: its file, its place there, dtype and shape."""

    name: str
    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    at: int
    """Offset of its first byte in the file."""
    sha256: str | None
    """SHA-256 of its bytes; None where the folder's index does not have it."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        return int(torch.Size(self.shape).numel())

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Elements start … stop of the flattened tensor in chunks (N, 16 MiB at most).

        BadWeights if the file ends early.
        """
        size = self.dtype.itemsize
        stop = self.numel if stop is None else stop
        step = _CHUNK_BYTES // size
        with self.path.open("rb") as stream:
            stream.seek(self.at + start * size)
            for first in range(start, stop, step):
                raw = bytearray(size * (min(first + step, stop) - first))
                if stream.readinto(raw) != len(raw):
                    raise BadWeights(f"{self.path}: the file ends early")
                yield torch.frombuffer(raw, dtype=self.dtype)

    def checked(self) -> Iterator[Tensor]:
        """All elements in flat chunks (N, 16 MiB at most), their hash compared at the end.

        BadWeights after the last chunk if the bytes are not those of the index.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks():
            if self.sha256 is not None:
                digest.update(as_bytes(chunk))
            yield chunk
        if self.sha256 is not None and digest.hexdigest() != self.sha256:
            raise BadWeights(
                f"{self.path}: tensor {self.name!r} has SHA-256 {digest.hexdigest()}, the index"
                f" {self.sha256}"
            )

    def read(self) -> Tensor:
        """The whole tensor in its shape; BadWeights if its bytes are not those of the index."""
        whole = torch.empty(self.numel, dtype=self.dtype)
        at = 0
        for chunk in self.checked():
            whole[at : at + len(chunk)] = chunk
            at += len(chunk)
        return whole.view(self.shape)

    def check(self) -> None:
        """BadWeights if the bytes are not those of the index."""
        for _ in self.checked() if self.sha256 is not None else ():
            pass


def as_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor of any shape in this machine's memory."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def read_index(folder: Path) -> dict[str, Stored]:
    """Every tensor of a folder by name.

    BadWeights if a file is damaged, lacks a tensor or has one too many.
    """
    path = folder / INDEX
    listed: dict[str, str] | None = None
    hashes: dict[str, str] = {}
    headers: dict[str, str] = {}
    if path.is_file():
        raw = json.loads(path.read_text())
        listed, metadata = raw["weight_map"], raw.get("metadata", {})
        for file in set(listed.values()):
            if not is_part(file):
                raise BadWeights(f"{path}: {file!r} is no name of a file in this folder")
        hashes, headers = metadata.get("sha256", {}), metadata.get("headers", {})
    files = sorted(
        {folder / file for file in listed.values()} if listed else folder.glob("*.safetensors")
    )
    if not files:
        raise BadWeights(f"{folder}: no *.safetensors")
    found: dict[str, Stored] = {}
    for file in files:
        for name, stored in read_header(file, hashes, headers.get(file.name)).items():
            if name in found:
                raise BadWeights(f"{file}: tensor {name!r} is also in {found[name].path.name}")
            found[name] = stored
    if listed is not None and {name: stored.path.name for name, stored in found.items()} != listed:
        wrong = sorted(set(found) ^ set(listed)) or ["places differ"]
        raise BadWeights(f"{path}: the index and the files do not agree: {', '.join(wrong[:5])}")
    return found


def read_header(path: Path, hashes: Mapping[str, str], expected: str | None) -> dict[str, Stored]:
    """The tensors of one file by name; BadWeights if it is damaged or not the expected one."""
    if not path.is_file():
        raise BadWeights(f"{path}: missing, although the index names it")
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length + 8 > size:
            raise BadWeights(
                f"{path}: {size:,} bytes, its header says {length + 8:,} or more: cut short or no"
                " safetensors"
            )
        raw = stream.read(length)
        if expected is not None and _header_hash(raw) != expected:
            raise BadWeights(
                f"{path}: its header has SHA-256 {_header_hash(raw)}, the index {expected}"
            )
        try:
            header = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise BadWeights(f"{path}: not a safetensors file: {error}") from error
    header.pop("__metadata__", None)
    found: dict[str, Stored] = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        if entry["dtype"] not in DTYPES:
            raise BadWeights(
                f"{path}: tensor {name!r} is {entry['dtype']}; readable are {', '.join(DTYPES)}"
            )
        stored = Stored(
            name=name,
            path=path,
            dtype=DTYPES[entry["dtype"]],
            shape=tuple(entry["shape"]),
            at=8 + length + start,
            sha256=hashes.get(name),
        )
        if end - start != stored.numel * stored.dtype.itemsize or stored.at + end - start > size:
            raise BadWeights(
                f"{path}: {size:,} bytes, but tensor {name!r} would end at {8 + length + end:,}:"
                " cut short"
            )
        found[name] = stored
    return found


@dataclass(frozen=True)
class TensorSpec:
    """A tensor that is to be written: name, dtype and shape."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes in a file."""
        return int(torch.Size(self.shape).numel()) * self.dtype.itemsize


def _header_of(specs: Sequence[TensorSpec]) -> bytes:
    """The header of a file that has these tensors, one after another."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for spec in specs:
        header[spec.name] = {
            "dtype": _NAMES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [at, at + spec.num_bytes],
        }
        at += spec.num_bytes
    raw = json.dumps(header).encode()
    return raw + b" " * (-len(raw) % 8)


def _header_hash(raw: bytes) -> str:
    """SHA-256 of a header and of its length, with which the file begins."""
    return hashlib.sha256(_with_length(raw)).hexdigest()


def _with_length(raw: bytes) -> bytes:
    return len(raw).to_bytes(8, "little") + raw


def write_shard(
    path: Path, specs: Sequence[TensorSpec], tensors: Iterable[Tensor]
) -> dict[str, str]:
    """Write a safetensors file tensor by tensor, each of its spec's shape; SHA-256 by name.

    `tensors` come in the order of `specs`, one in memory at a time. BadWeights if one is not what
    its spec declares.
    """
    raw = _header_of(specs)
    hashes: dict[str, str] = {}
    with path.open("wb") as stream:
        stream.write(_with_length(raw))
        for spec, tensor in zip(specs, tensors, strict=True):
            if tensor.dtype != spec.dtype or tuple(tensor.shape) != spec.shape:
                raise BadWeights(
                    f"{spec.name}: {tensor.dtype} {tuple(tensor.shape)}, declared was {spec}"
                )
            content = as_bytes(tensor)
            hashes[spec.name] = hashlib.sha256(content).hexdigest()
            stream.write(content)
    return hashes


def share_out(specs: Sequence[TensorSpec], num: int) -> list[list[TensorSpec]]:
    """Whole tensors in `num` shares of about equal bytes; each keeps the order of `specs`."""
    loads, owner = [0] * num, {}
    for spec in sorted(specs, key=lambda spec: -spec.num_bytes):
        lightest = loads.index(min(loads))
        loads[lightest] += spec.num_bytes
        owner[spec.name] = lightest
    return [[spec for spec in specs if owner[spec.name] == share] for share in range(num)]


def shard_names(num: int) -> list[str]:
    """Hugging Face's file names of so many shards."""
    if num == 1:
        return ["model.safetensors"]
    return [f"model-{index + 1:05d}-of-{num:05d}.safetensors" for index in range(num)]


def write_index(
    folder: Path, files: Mapping[str, Sequence[TensorSpec]], hashes: Mapping[str, str]
) -> None:
    """The index of shards that are already written, each with its tensors in this order."""
    content = {
        "metadata": {
            "total_size": sum(spec.num_bytes for specs in files.values() for spec in specs),
            "sha256": dict(sorted(hashes.items())),
            "headers": {file: _header_hash(_header_of(specs)) for file, specs in files.items()},
        },
        "weight_map": {spec.name: file for file, specs in files.items() for spec in specs},
    }
    (folder / INDEX).write_text(json.dumps(content, indent=1, sort_keys=True))
