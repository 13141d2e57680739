"""State as tensors and plain values: a safetensors file and a JSON file beside it, never a pickle.

FILE         the tensors, called 0, 1, 2 …
FILE.json    everything else; a tensor is its name there

Whoever writes into a store could have a pickle run any command on the machine that resumes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scaling.encoders.checkpoint import BadWeights, TensorSpec, read_header, write_shard

_PLAIN = (bool, int, float, str, type(None))


def write_state(path: Path, state: object, objects: Mapping[str, type]) -> None:
    """Write a state; TypeError names the place of a value that is neither a tensor nor plain.

    Args:
        path: Of the tensors; the JSON file lies beside it.
        state: Nested dicts, lists, tuples, tensors and plain values.
        objects: Classes whose objects may occur, by name; their attributes are state as well.
    """
    tensors: list[Tensor] = []
    text = json.dumps(_encoded(state, "state", tensors, objects))
    specs = [
        TensorSpec(str(number), tensor.dtype, tuple(tensor.shape))
        for number, tensor in enumerate(tensors)
    ]
    write_shard(path, specs, _on_cpu(tensors))
    _json_of(path).write_text(text)


def read_state(path: Path, objects: Mapping[str, type]) -> Any:
    """What `write_state` wrote, its tensors on the CPU; BadWeights for anything else."""
    try:
        raw = json.loads(_json_of(path).read_text())
        stored = read_header(path, {}, None)
        return _decoded(raw, {name: one.read() for name, one in stored.items()}, objects)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BadWeights(f"{path}: no state that was written here: {error!r}") from error


def _json_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _on_cpu(tensors: list[Tensor]) -> Iterator[Tensor]:
    for tensor in tensors:
        yield tensor.detach().cpu()


def _encoded(
    value: object, place: str, tensors: list[Tensor], objects: Mapping[str, type]
) -> dict[str, Any]:
    """A value as JSON: one key that says what it is."""

    def inner(item: object, name: object) -> dict[str, Any]:
        return _encoded(item, f"{place}.{name}", tensors, objects)

    if isinstance(value, Tensor):
        tensors.append(value)
        return {"tensor": str(len(tensors) - 1)}
    if type(value) in _PLAIN:
        return {"plain": value}
    if isinstance(value, Enum) and isinstance(value, int):
        # Equal to its number, as which it comes back.
        return {"plain": int(value)}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, dict):
        return {"dict": [[inner(key, "key"), inner(item, key)] for key, item in value.items()]}
    if isinstance(value, list):
        return {"list": [inner(item, at) for at, item in enumerate(value)]}
    if isinstance(value, tuple):
        return {"tuple": [inner(item, at) for at, item in enumerate(value)]}
    for name, kind in objects.items():
        if type(value) is kind:
            return {"object": name, "state": inner(vars(value), name)}
    raise TypeError(f"{place} is a {type(value).__name__}, neither a tensor nor plain")


def _decoded(raw: Any, tensors: Mapping[str, Tensor], objects: Mapping[str, type]) -> Any:
    """The value of which `_encoded` made this; KeyError, TypeError or ValueError for others."""

    def inner(item: Any) -> Any:
        return _decoded(item, tensors, objects)

    if "tensor" in raw:
        return tensors[raw["tensor"]]
    if "plain" in raw:
        if type(raw["plain"]) not in _PLAIN:
            raise TypeError("a plain value that is none")
        return raw["plain"]
    if "dtype" in raw:
        if not isinstance(found := getattr(torch, raw["dtype"]), torch.dtype):
            raise TypeError(f"{raw['dtype']!r} is no dtype")
        return found
    if "dict" in raw:
        return {inner(key): inner(item) for key, item in raw["dict"]}
    if "list" in raw:
        return [inner(item) for item in raw["list"]]
    if "tuple" in raw:
        return tuple(inner(item) for item in raw["tuple"])
    kind = objects[raw["object"]]
    made: Any = object.__new__(kind)
    vars(made).update(inner(raw["state"]))
    return made
