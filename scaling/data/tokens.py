"""Tokenise once per (data, tokenizer, kind, length), for all models that share the tokenizer."""

from __future__ import annotations

import hashlib
import io
import logging
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
from scaling.store.place import sha256
from scaling.store.store import Store
from scaling.study.identity import token_cache_name
from scaling.study.recipes import Recipe

LOG = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size


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
    rows = read_table(store, task.name, key, data_hash)
    if table:
        rows = transliterated(rows, task.kind, key.language, table)
    name = token_cache_name(task, recipe, data_hash, sha256(tokenizer), table)
    cached = _read_cached(store, name)
    if cached is not None:
        return rows, cached
    made = KINDS[task.kind].encode(rows, task, load_tokenizer(tokenizer), recipe)
    buffer = io.BytesIO()
    feather.write_feather(made, buffer, compression="zstd")
    raw = buffer.getvalue()
    store.write(name, _digest(name, raw) + raw)
    return rows, made


def _read_cached(store: Store, name: str) -> pa.Table | None:
    """Cached features, if the file begins with the digest of its name and of what follows.

    None otherwise. Damaged ones would be trained on as other tokens without a word, so they are
    made again. Their bytes are not parsed, since Arrow's reader may crash over them.
    """
    try:
        content = store.read(name)
    except FileNotFoundError:
        return None
    digest, raw = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if _digest(name, raw) != digest:
        LOG.warning("%s/%s is damaged; it is made again", store.uri, name)
        return None
    return feather.read_table(io.BytesIO(raw))


def _digest(name: str, raw: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + raw).digest()
