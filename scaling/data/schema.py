"""The normalised form of every kind of task: one documented Arrow schema per kind.

`scaling stage` writes it once; everything after reads only that. `id` is unique inside a file and
stable between runs, since splits, samples and paired tests hang on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from scaling.spec import UserError

Row = Mapping[str, Any]

SCHEMAS: dict[str, pa.Schema] = {
    # One text or a pair (text_b empty for one); label is one of TaskSpec.labels.
    "classification": pa.schema(
        [
            ("id", pa.string()),
            ("text_a", pa.string()),
            ("text_b", pa.string()),
            ("label", pa.string()),
        ]
    ),
    # context + question once, then each choice; label is the index of the right choice.
    "multiple_choice": pa.schema(
        [
            ("id", pa.string()),
            ("context", pa.string()),
            ("question", pa.string()),
            ("choices", pa.list_(pa.string())),
            ("label", pa.int32()),
        ]
    ),
    "tagging": pa.schema(
        [("id", pa.string()), ("words", pa.list_(pa.string())), ("tags", pa.list_(pa.string()))]
    ),
    # Character offsets into context, in code points; no answers = unanswerable.
    "span_qa": pa.schema(
        [
            ("id", pa.string()),
            ("context", pa.string()),
            ("question", pa.string()),
            ("answers", pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))),
        ]
    ),
    # Queries in the test language, candidates in any; `relevant` holds candidate ids and is empty
    # for candidates. `context` is what surrounds a candidate (LAReQA) and may be empty. Sides:
    # query, candidate; dev_query and dev_candidate where the metric tunes a threshold on sentences
    # that are not scored (BUCC).
    "retrieval": pa.schema(
        [
            ("id", pa.string()),
            ("side", pa.string()),
            ("language", pa.string()),
            ("text", pa.string()),
            ("context", pa.string()),
            ("relevant", pa.list_(pa.string())),
        ]
    ),
    "masked_lm": pa.schema([("id", pa.string()), ("text", pa.string())]),
}


class BadData(UserError):
    """Raw data that cannot be used, with file and line."""


def fault_of(row: Row, schema: pa.Schema) -> str:
    """What keeps a row from being one of the schema, all the way down; '' where nothing does."""
    if row.keys() != set(schema.names):
        return f"has the fields {sorted(row)}, not {sorted(schema.names)}"
    return next(
        (fault for field in schema if (fault := _fault(row[field.name], field.type, field.name))),
        "",
    )


def _fault(value: Any, due: pa.DataType, name: str) -> str:
    if pa.types.is_string(due):
        return text_fault(value) and f"{name!r} {text_fault(value)}"
    if pa.types.is_integer(due):
        return number_fault(value) and f"{name!r} {number_fault(value)}"
    if pa.types.is_list(due):
        if not isinstance(value, list | tuple):
            return f"{name!r} should be a list, found {value!r:.60}"
        return next((fault for item in value if (fault := _fault(item, due.value_type, name))), "")
    if not isinstance(value, Mapping) or value.keys() != {field.name for field in due}:
        return f"{name!r} should have {[field.name for field in due]}, found {value!r:.60}"
    return next(
        (fault for field in due if (fault := _fault(value[field.name], field.type, field.name))), ""
    )


def text_fault(value: Any) -> str:
    """Why a value is no text; '' for one that is. Half a surrogate pair cannot be stored."""
    if not isinstance(value, str):
        return f"should be text, found {value!r:.60}"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"has half a surrogate pair at character {error.start}: {value!r:.60}"
    return ""


_INT32 = 2**31


def number_fault(value: Any) -> str:
    """Why a value is no whole number of 32 bits; '' for one that is."""
    if isinstance(value, bool) or not isinstance(value, int) or not -_INT32 <= value < _INT32:
        return f"should be a whole number, found {value!r:.60}"
    return ""


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """What a reader is asked for: one split of one language of one DataRef."""

    language: str
    """Our code."""
    split: str
    files: Sequence[Path]
    """Existing files, in the order of DataRef.files; of a package its folder alone."""
    upstream_code: str
    """The language's code in the upstream files."""
    options: Mapping[str, Any]
    """DataRef.options."""
    labels: Sequence[str]
    """TaskSpec.labels."""
    defects: list[str] = field(default_factory=list)
    """Faults of the data that the task accepts; the reader appends, staging counts them."""
    counts: Counter[str] = field(default_factory=Counter)
    """No fault, and worth a line: choices that are not there, answers across sentences."""


class Reader(Protocol):
    """One raw format → rows of a kind's schema, in file order."""

    def __call__(self, request: ReadRequest, /) -> Iterator[Row]:
        """The rows; BadData names file and line."""
