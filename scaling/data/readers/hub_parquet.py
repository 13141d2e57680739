"""Parquet files of hub datasets (JSON lines where the name says so), by column mapping.

A file of another layout says which columns it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.data.readers.raw import json_lines
from scaling.data.readers.records import Record, rows
from scaling.data.schema import BadData, ReadRequest, Row


def read_hub_parquet(request: ReadRequest) -> Iterator[Row]:
    """Rows by column mapping (records.py)."""
    return rows(
        request,
        (
            json_lines(path) if ".jsonl" in path.suffixes else _records(path)
            for path in request.files
        ),
    )


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise BadData(f"{path}: not a Parquet file: {error}") from error
    number = 0
    for batch in file.iter_batches():
        for record in batch.to_pylist():
            number += 1
            yield f"{path}: row {number}", record
