"""One JSON object per line, by column mapping: XCOPA, CommonsenseQA, HellaSwag, IndoNLI, SNLI, …"""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.readers.raw import json_lines
from scaling.data.readers.records import rows
from scaling.data.schema import ReadRequest, Row


def read_jsonl(request: ReadRequest) -> Iterator[Row]:
    """Rows by column mapping (records.py)."""
    return rows(request, (json_lines(path) for path in request.files))
