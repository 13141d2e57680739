"""What staging resolved, once: the hashes of everything that a step reads, and the names they lie
under.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaling.catalogue.demo import KIND_VERSIONS, TaskSpec
from scaling.catalogue.models import ModelSpec
from scaling.fingerprint import fingerprint
from scaling.study.arms import Arm
from scaling.study.recipes import Recipe


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
        """What the weights are. Before staging: where they will come from, so such steps are
        provisional.
        """
        locked = self.models.get(staged_name(model.name, arm))
        if locked is not None:
            return {
                "architecture": model.architecture,
                "weights": locked["weights"],
                "tokenizer": locked["tokenizer"],
            }
        return {
            "architecture": model.architecture,
            "provisional": [model.source, model.revision, model.keep_layers, model.trim_vocabulary]
            + (
                [arm.new_pieces, [text.model_dump() for text in arm.adapt]]
                if arm.new_pieces
                else []
            ),
        }

    def data_identity(self, task: TaskSpec, keys: list[str]) -> dict[str, Any]:
        """Hash by `SPLIT.LANGUAGE` for the keys that exist."""
        locked = self.data.get(task.name)
        if locked is not None:
            return {key: locked[key] for key in keys if key in locked}
        return {"provisional": task.name, "keys": keys}


def token_cache_name(
    task: TaskSpec,
    recipe: Recipe,
    data_hash: str,
    tokenizer: str,
    table: Mapping[str, str] | None = None,
) -> str:
    """Where the store keeps the token features of one `SPLIT.LANGUAGE`, by the SHA-256 of its rows
    and tokenizer.

    `table`: the transliteration of its text.
    """
    identity = {
        "data": data_hash,
        "tokenizer": tokenizer,
        "kind": [task.kind, KIND_VERSIONS[task.kind]],
        "labels": list(task.labels),
        "length": recipe.max_length,
        "prefix": recipe.prefix,
        **({"transliterated": dict(table)} if table else {}),
    }
    return f"tokens/{fingerprint(identity)}.arrow"


def staged_name(model: str, arm: Arm) -> str:
    """Under what name a model is staged for an arm: its own, unless the arm adds pieces to the
    vocabulary.
    """
    return f"{model}+{arm.name}" if arm.new_pieces else model
