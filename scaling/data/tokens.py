"""Tokenise once per (data, tokenizer, kind, length), for all models that share the tokenizer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
from tokenizers import Tokenizer

from scaling.catalogue.task import Key, TaskSpec
from scaling.data.rows import read_table
from scaling.data.schema import BadData
from scaling.data.transliterate import transliterated
from scaling.kinds import KINDS
from scaling.kinds.text import literal
from scaling.store.store import Store, sha256
from scaling.study.identity import token_cache_name
from scaling.study.recipes import Recipe


@lru_cache(maxsize=4)
def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`, without truncation or padding of its own.

    It takes text as text: no special token is made from it.
    """
    try:
        tokenizer = literal(Tokenizer.from_file(str(path)))
    # The library raises nothing more special.
    except Exception as error:
        raise BadData(f"{path}: not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def features(
    store: Store,
    task: TaskSpec,
    key: Key,
    data_hash: str,
    recipe: Recipe,
    tokenizer: Path,
    table: Mapping[str, str] | None = None,
) -> tuple[pa.Table, pa.Table]:
    """(rows, features) of a split; the features come from the cache where they are in it.

    Args:
        store: Where rows and cached features lie.
        task: The task.
        key: The split.
        data_hash: SHA-256 of its rows.
        recipe: How text is read.
        tokenizer: A `tokenizer.json`.
        table: Transliterates the text of the split's language before.
    """
    rows = read_table(store, task.name, key)
    if table:
        rows = transliterated(rows, task.kind, key.language, table)
    name = token_cache_name(task, recipe, data_hash, sha256(tokenizer), table)
    if store.exists(name):
        return rows, feather.read_table(io.BytesIO(store.read(name)))
    made = KINDS[task.kind].encode(rows, task, load_tokenizer(tokenizer), recipe)
    buffer = io.BytesIO()
    feather.write_feather(made, buffer, compression="zstd")
    store.write(name, buffer.getvalue())
    return rows, made
