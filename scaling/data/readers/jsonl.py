"""JSON objects, one a line or in an array, by column mapping: XCOPA, CommonsenseQA, IndoNLI, …

Option beside those of records.py: `records`, the dotted path to the array where the file is one
object around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.raw import json_array, json_lines, list_of, read_json
from scaling.data.readers.records import Record, rows, value_at
from scaling.data.schema import ReadRequest, Row


def read_jsonl(request: ReadRequest) -> Iterator[Row]:
    """Rows by column mapping (records.py)."""
    return rows(request, (_records(request, path) for path in request.files))


def _records(request: ReadRequest, path: Path) -> Iterator[tuple[str, Record]]:
    inside = request.options.get("records")
    if inside is None:
        return json_lines(path)
    return json_array(
        path, list_of(str(path), inside, value_at(str(path), read_json(path), inside))
    )
