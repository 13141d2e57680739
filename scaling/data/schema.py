"""The normalised form of every kind of task: one documented Arrow schema per kind.

`scaling stage` writes it once; everything after reads only that. `id` is unique inside a file and
stable between runs, since splits, samples and paired tests hang on it.
"""

from __future__ import annotations

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


@dataclass(frozen=True, kw_only=True)
class ReadRequest:
    """What a reader is asked for: one split of one language of one DataRef."""

    language: str
    """Our code."""
    split: str
    files: Sequence[Path]
    """Existing files, in the order of the patterns in DataRef.files; for packages, [the package's
    folder].
    """
    upstream_code: str
    """The language's code in the upstream files."""
    options: Mapping[str, Any]
    """DataRef.options."""
    labels: Sequence[str]
    """TaskSpec.labels."""
    defects: list[str] = field(default_factory=list)
    """Faults of the upstream data that the task accepts by name; the reader appends, staging counts
    and lists them.
    """


class Reader(Protocol):
    """One raw format → rows of a kind's schema, in file order. Raises BadData naming file and
    line.
    """

    def __call__(self, request: ReadRequest, /) -> Iterator[Row]: ...
