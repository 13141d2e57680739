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

from scaling.catalogue.architecture_entries import XLM_ROBERTA
from scaling.catalogue.architectures import Architecture
from scaling.catalogue.task import Key, TaskSpec
from scaling.data.rows import read_table
from scaling.data.schema import BadData
from scaling.data.transliterate import transliterated
from scaling.kinds import KINDS
from scaling.kinds.text import UNK, XLMR_FORM, Form, literal, special_id
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
    tokenizer = raw_tokenizer(path)
    try:
        return literal(tokenizer)
    # Of JSON in another form, or of the library again.
    except Exception as error:
        raise BadData(f"{path}: not a tokenizer: {error}") from error


def raw_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json` with its template; BadData where it is none."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    # The library raises nothing more special.
    except Exception as error:
        raise BadData(f"{path}: not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def text_form(path: Path, architecture: Architecture) -> Form:
    """What stands around texts: by the tokenizer's own template, or by the architecture.

    BadData where neither says it, or a token that is named is not there.
    """
    if not architecture.reading:
        return XLMR_FORM
    around = () if architecture.own_form else _template(path)
    if not any(around):
        if not architecture.form:
            raise BadData(
                f"{path}: this tokenizer puts no token around texts, and {architecture.name} has no"
                " form of its own: save it with its template (`AutoTokenizer`)"
            )
        around = tuple(_ids(path, tokens) for tokens in architecture.form)
    before, between, after = around
    tokenizer = load_tokenizer(path)
    # By its name in SentencePiece and in WordPiece; byte-level tokenizers have none.
    named = [special_id(tokenizer, name) for name in ("<unk>", "[UNK]")]
    unk = [one for one in named if one is not None]
    return Form(
        before=before,
        between=between,
        after=after,
        unk=(*unk, *after, *before, UNK)[0],
        anchor=architecture.anchor,
        label_on=architecture.label_on,
        word_mark=architecture.word_mark,
    )


def _ids(path: Path, tokens: tuple[str, ...]) -> tuple[int, ...]:
    """Ids of special tokens by name, or of the pieces of a plain text."""
    tokenizer, found = load_tokenizer(path), []
    for token in tokens:
        own = special_id(tokenizer, token)
        if own is None and token.startswith("<"):
            raise BadData(f"{path}: no token {token!r}, which this architecture puts around texts")
        plain = tokenizer.encode(token, add_special_tokens=False).ids
        found += [own] if own is not None else plain
    return tuple(found)


@lru_cache(maxsize=4)
def _template(path: Path) -> tuple[tuple[int, ...], ...]:
    """(before, between, after) of a tokenizer's template; three times nothing where it has none."""
    tokenizer = raw_tokenizer(path)
    plain = tokenizer.encode("ab", add_special_tokens=False).ids
    one, two = tokenizer.encode("ab").ids, tokenizer.encode("ab", "ab").ids
    size = len(plain)
    at = next((at for at in range(len(one)) if one[at : at + size] == plain), None)
    if at is not None:
        before, after = tuple(one[:at]), tuple(one[at + size :])
        middle = two[len(before) + size : len(two) - len(after) - size]
        if two == [*before, *plain, *middle, *plain, *after]:
            return before, tuple(middle), after
    raise BadData(f"{path}: its template puts other tokens around a pair than around a text")


def features(
    store: Store,
    task: TaskSpec,
    key: Key,
    data_hash: str,
    recipe: Recipe,
    tokenizer: Path,
    table: Mapping[str, str] | None = None,
    architecture: Architecture = XLM_ROBERTA,
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
        architecture: Whose form texts get.
    """
    rows = read_table(store, task.name, key, data_hash)
    if table:
        rows = transliterated(rows, task.kind, key.language, table)
    name = token_cache_name(task, recipe, data_hash, sha256(tokenizer), table, architecture.reading)
    cached = _read_cached(store, name)
    if cached is not None:
        return rows, cached
    form = text_form(tokenizer, architecture)
    made = KINDS[task.kind].encode(rows, task, load_tokenizer(tokenizer), recipe, form)
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
