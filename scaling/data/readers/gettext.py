"""Compiled message catalogues, and the split of a message that all languages agree on."""

from __future__ import annotations

import gettext
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

from scaling.data.schema import BadData, Row

# Context and message are joined with this character in gettext's own files.
_CONTEXT = "\x04"


def read_catalogue(path: Path) -> dict[str, str]:
    """English message → translation, without contexts, plural forms and untranslated copies."""
    if not path.is_file():
        languages = sorted(item.name for item in path.parents[1].parent.glob("*") if item.is_dir())
        raise BadData(
            f"{path}: no such catalogue; {path.parents[1].parent} has {', '.join(languages)}"
        )
    with path.open("rb") as stream:
        # The only access to all entries that the standard library has.
        try:
            entries = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        except (OSError, UnicodeDecodeError, struct.error) as error:
            raise BadData(f"{path}: not a compiled catalogue: {error}") from error
    return {
        message: text
        for message, text in entries.items()
        if isinstance(message, str)
        and message
        and _CONTEXT not in message
        and text
        and text != message
    }


def split_of(message: str) -> str:
    """`train` (45 %), `dev` (15 %) or `test` (40 %) of an English message and its translations."""
    share = int(hashlib.sha256(message.encode()).hexdigest()[:8], 16) / 2**32
    return "train" if share < 0.45 else "dev" if share < 0.60 else "test"


def message_id(message: str) -> str:
    """Stable id of an English message, equal in all languages."""
    return hashlib.sha256(message.encode()).hexdigest()[:12]


def translation_pairs(
    messages: dict[str, str], translated: dict[str, str], language: str
) -> Iterator[Row]:
    """Rows of the retrieval schema: each translation asks for its English original."""
    for message in messages:
        if message in translated:
            yield from pair(message_id(message), language, translated[message], message)


def pair(key: str, language: str, query: str, candidate: str) -> Iterator[Row]:
    """Two rows of the retrieval schema: a text, and the English one that it asks for.

    Args:
        key: Of the pair: the same in every language.
        language: Our code of the query's language.
        query: The text that asks.
        candidate: The one that it asks for.
    """
    yield {
        "id": f"q-{key}",
        "side": "query",
        "language": language,
        "text": query,
        "context": "",
        "relevant": [f"c-{key}"],
    }
    yield {
        "id": f"c-{key}",
        "side": "candidate",
        "language": "en",
        "text": candidate,
        "context": "",
        "relevant": [],
    }
