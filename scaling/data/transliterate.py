"""Transliteration of normalised rows: text into another script, by a table (Chau & Smith 2021)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from scaling.spec import UserError

_TEXT_COLUMNS = {
    "classification": ("text_a", "text_b"),
    "multiple_choice": ("context", "question", "choices"),
    "tagging": ("words",),
    "retrieval": ("text", "context"),
    "masked_lm": ("text",),
}


def transliterated(rows: pa.Table, kind: str, language: str, table: Mapping[str, str]) -> pa.Table:
    """Rows with their text replaced, longest match first. What the table does not name stays.

    ValueError for a kind whose answers lie at characters.

    Args:
        rows: Normalised rows.
        kind: Of their task.
        language: Of retrieval, which has rows of several languages, only those of this one change.
        table: Text → its replacement.
    """
    if kind not in _TEXT_COLUMNS:
        raise UserError(
            f"text of kind {kind} cannot be transliterated: its answers lie at characters"
        )
    if not table:
        return rows
    pattern = re.compile(
        "|".join(map(re.escape, sorted(table, key=lambda text: (-len(text), text))))
    )
    own = (
        [code == language for code in rows["language"].to_pylist()] if kind == "retrieval" else None
    )
    for name in _TEXT_COLUMNS[kind]:
        texts = rows[name].to_pylist()
        changed = [
            _replaced(text, lambda part: pattern.sub(lambda match: table[match[0]], part))
            if own is None or own[at]
            else text
            for at, text in enumerate(texts)
        ]
        index = rows.schema.get_field_index(name)
        rows = rows.set_column(
            index, rows.schema.field(name), pa.array(changed, rows.schema.field(name).type)
        )
    return rows


def _replaced(text: Any, change: Callable[[str], str]) -> Any:
    return [change(part) for part in text] if isinstance(text, list) else change(text)
