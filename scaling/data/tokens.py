"""Tokenise once per (data, tokenizer, kind, length), for all models that share the tokenizer."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
from tokenizers import Tokenizer

from scaling.data.staging import read_table
from scaling.fingerprint import fingerprint
from scaling.kinds import KINDS
from scaling.recipes import Recipe
from scaling.store import Store, sha256
from scaling.tasks import KIND_VERSIONS, TaskSpec


@lru_cache(maxsize=4)
def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`, without truncation or padding of its own."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def features(
    store: Store, task: TaskSpec, key: str, data_hash: str, recipe: Recipe, tokenizer: Path
) -> tuple[pa.Table, pa.Table]:
    """(rows, features) of `SPLIT.LANGUAGE`; the features come from the cache if anybody made them before."""
    rows = read_table(store, task.name, key)
    identity = {
        "data": data_hash,
        "tokenizer": sha256(tokenizer),
        "kind": [task.kind, KIND_VERSIONS[task.kind]],
        "labels": list(task.labels),
        "length": recipe.max_length,
        "prefix": recipe.prefix,
    }
    name = f"tokens/{fingerprint(identity)}.arrow"
    if store.exists(name):
        return rows, feather.read_table(io.BytesIO(store.read(name)))
    table = KINDS[task.kind].encode(rows, task, load_tokenizer(tokenizer), recipe)
    buffer = io.BytesIO()
    feather.write_feather(table, buffer, compression="zstd")
    store.write(name, buffer.getvalue())
    return rows, table
