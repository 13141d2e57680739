"""Identity to hash, and the lock: the hashes of everything that a step reads.

Staging resolves the lock once. The names that things lie under in the store follow from it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import KIND_VERSIONS, Key, TaskSpec
from scaling.study.arms import Arm
from scaling.study.recipes import Recipe

Identity = Mapping[str, object]


NUM_HEX = 12


def canonical(value: object, path: str = "identity") -> object:
    """`value` reduced to JSON types, recursively.

    TypeError or ValueError names the place that has no stable text form.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path} is {value}, which has no stable text form")
        # 1.0 and 1 are the same recipe; YAML readers disagree about which one the user wrote.
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{path} has the key {key!r}, which is not a string")
        return {key: canonical(item, f"{path}.{key}") for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [canonical(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{path} is a {type(value).__name__}, which has no stable text form: {value!r}")


def canonical_json(identity: Identity) -> str:
    """The exact text that is hashed."""
    return json.dumps(canonical(identity), ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def fingerprint(identity: Identity) -> str:
    """The first 12 hex digits of the SHA-256 of the canonical identity."""
    return hashlib.sha256(canonical_json(identity).encode("ascii")).hexdigest()[:NUM_HEX]


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What staging resolved, once: hashes of everything that a step reads. Empty before staging."""

    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Model, or model+arm where an arm has new pieces → `weights`, `tokenizer` (SHA-256) and
    `revision`.
    """
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task → `SPLIT.LANGUAGE` → SHA-256 of its normalised rows."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """`DataRef.origin` → the commit that was read. No identity: the rows' hashes are."""

    def model_identity(self, model: ModelSpec, arm: Arm) -> dict[str, Any]:
        """What the weights are; before staging where they will come from, which is provisional."""
        locked = self.models.get(staged_name(model.name, arm))
        version = {"architecture_version": model.entry.version} if model.entry.version > 1 else {}
        if locked is not None:
            return {
                "architecture": model.architecture,
                **version,
                "weights": locked["weights"],
                "tokenizer": locked["tokenizer"],
            }
        return {
            "architecture": model.architecture,
            **version,
            "provisional": [model.source, model.revision, model.keep_layers, model.trim_vocabulary]
            + (
                [arm.new_pieces, [text.model_dump() for text in arm.adapt]]
                if arm.new_pieces
                else []
            ),
        }

    def data_identity(self, task: TaskSpec, keys: Iterable[Key]) -> dict[str, Any]:
        """Hash by `SPLIT.LANGUAGE` for the keys that exist."""
        names, locked = [str(key) for key in keys], self.data.get(task.name)
        if locked is not None:
            return {name: locked[name] for name in names if name in locked}
        return {"provisional": task.name, "keys": names}


def token_cache_name(
    task: TaskSpec,
    recipe: Recipe,
    data_hash: str,
    tokenizer: str,
    table: Mapping[str, str] | None = None,
    reading: Mapping[str, object] | None = None,
) -> str:
    """Where the store keeps the token features of one `SPLIT.LANGUAGE`.

    Args:
        task: whose rows they are.
        recipe: whose `max_length` and `prefix` shape them.
        data_hash: SHA-256 of the rows.
        tokenizer: SHA-256 of its file.
        table: transliteration of the text.
        reading: Of the architecture: what the tokenizer does not say of the form of texts.
    """
    identity = {
        "data": data_hash,
        "tokenizer": tokenizer,
        "kind": [task.kind, KIND_VERSIONS[task.kind]],
        "labels": list(task.labels),
        "length": recipe.max_length,
        "prefix": recipe.prefix,
        **({"transliterated": dict(table)} if table else {}),
        **({"reading": dict(reading)} if reading else {}),
    }
    return f"tokens/{fingerprint(identity)}.features"


def staged_name(model: str, arm: Arm) -> str:
    """What a model is staged as for an arm: its own name, unless the arm adds to the vocabulary."""
    return f"{model}+{arm.name}" if arm.new_pieces else model
