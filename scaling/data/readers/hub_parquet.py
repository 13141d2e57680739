"""Parquet files of hub datasets (JSON lines where the name says so), by column mapping.

A file of another layout says which columns it has; a file that names its classes is believed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.data.readers.raw import filled, json_lines
from scaling.data.readers.records import Record, rows
from scaling.data.schema import BadData, ReadRequest, Row


def read_hub_parquet(request: ReadRequest) -> Iterator[Row]:
    """Rows by column mapping (records.py)."""
    column = request.options.get("tags" if "tags" in request.options else "label")
    column = column and filled(column, request)
    by_number = column is not None and "choices" not in request.options
    classes = {
        at: names
        for at, path in enumerate(request.files)
        if by_number and (names := _class_names(request, path, str(column)))
    }
    return rows(
        request,
        (
            json_lines(path)
            if ".jsonl" in path.suffixes
            else _records(path, str(column), classes.get(at, []))
            for at, path in enumerate(request.files)
        ),
        named=classes,
    )


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise BadData(f"{path}: not a Parquet file: {error}") from error


def _records(path: Path, column: str, classes: list[str]) -> Iterator[tuple[str, Record]]:
    """Rows of a file; numbers in `column` become the names that the file itself gives them."""
    number = 0
    try:
        for batch in _opened(path).iter_batches():
            for record in batch.to_pylist():
                number += 1
                place = f"{path}: row {number}"
                yield place, _named(place, record, column.split("."), classes)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).partition("\n")[0]
        raise BadData(f"{path}: behind row {number}: broken: {first}") from error


def _named(place: str, value: Any, path: list[str], classes: list[str]) -> Any:
    """`value` with the numbers at the end of `path` as names; -1, no label, stays as it is."""
    if not classes:
        return value
    if isinstance(value, list):
        return [_named(place, item, path, classes) for item in value]
    if path:
        if not isinstance(value, Mapping) or path[0] not in value:
            return value
        return {**value, path[0]: _named(place, value[path[0]], path[1:], classes)}
    if isinstance(value, bool) or not isinstance(value, int) or value == -1:
        return value
    if not 0 <= value < len(classes):
        raise BadData(f"{place}: label {value} of the {len(classes)} that the file names")
    return classes[value]


_LISTS = ("Sequence", "List", "LargeList")


def _class_names(request: ReadRequest, path: Path, column: str) -> list[str]:
    """The names of the classes in `column` by number, as the file's own metadata state them.

    The hub's libraries write them there. They rule over `label_names`: upstream order has changed
    more than once. [] where the file says nothing, or names its classes 0, 1, 2. BadData where the
    file's names are not those of the task.
    """
    if ".jsonl" in path.suffixes:
        return []
    written = (_opened(path).schema_arrow.metadata or {}).get(b"huggingface")
    if written is None:
        return []
    try:
        found: Any = json.loads(written)["info"]["features"]
        for part in [*column.split("."), ""]:
            while isinstance(found, list) or found.get("_type") in _LISTS:
                found = found[0] if isinstance(found, list) else found["feature"]
            found = found[part] if part else found
        names = [str(name) for name in found["names"]] if found["_type"] == "ClassLabel" else []
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        # Metadata of another form say nothing about the column.
        return []
    if names == [str(number) for number in range(len(names))]:
        return []
    stated = request.options.get("label_names")
    known = {*request.options.get("label_map", {})} or {*request.labels}
    if (stated is not None and set(stated) != set(names)) or not set(names) <= known:
        valid = list(stated) if stated is not None else sorted(known)
        raise BadData(
            f"{path}: its own metadata name the classes of {column!r} {', '.join(names)}; the task"
            f" names {', '.join(valid)}. Write the file's names into `label_names`, and with"
            " `label_map` what each is called here"
        )
    return names
