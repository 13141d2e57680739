"""Parquet files of hub data sets and Arrow files of `save_to_disk`, by column mapping.

`datasets` reads both: from the files that are given, never from its own cache. JSON lines, where
the name says so, are read here: it would turn texts into numbers and dates. A file of another
layout says which columns it has; a file that names its classes is believed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from scaling.data.readers.raw import filled, json_lines
from scaling.data.readers.records import Record, rows
from scaling.data.schema import BadData, ReadRequest, Row

if TYPE_CHECKING:
    from datasets import Features

# Of a file that is not what its name says, or whose values are not what its own types say.
_BROKEN = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)
_ROWS_AT_ONCE = 1_000


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


def schema_of(path: Path) -> pa.Schema:
    """The columns of a Parquet or Arrow file; BadData if it is none."""
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as stream:
                return pa.ipc.open_stream(stream).schema
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        what = "an Arrow" if path.suffix == ".arrow" else "a Parquet"
        raise BadData(f"{path}: not {what} file: {_first_line(error)}") from error


def features_of(schema: pa.Schema) -> Features:
    """What `datasets` knows of columns: their types, and the names of classes.

    Metadata of another form say nothing about a column.
    """
    from datasets import Features

    try:
        return Features.from_arrow_schema(schema)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Features.from_arrow_schema(schema.remove_metadata())


def _tables(path: Path) -> Iterator[pa.Table]:
    """The rows of a file, some at a time."""
    # Seconds to import, and no part of a study that has no such file.
    import datasets
    from datasets.data_files import DataFilesDict, DataFilesList
    from datasets.packaged_modules.parquet.parquet import Parquet

    datasets.disable_progress_bars()
    # What is wrong with a file is said once, by whoever reads it.
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    features = features_of(schema_of(path))
    if path.suffix == ".arrow":
        whole = datasets.Dataset.from_file(str(path))
        yield from whole.with_format("arrow").iter(_ROWS_AT_ONCE)
        return
    # Streamed, it writes no cache; it makes the folder of one nevertheless. Its builder and not
    # load_dataset, which reads names as patterns and reports every load to the hub.
    with tempfile.TemporaryDirectory() as nothing:
        files = DataFilesDict({"train": DataFilesList([str(path)], [()])})
        builder = Parquet(cache_dir=nothing, data_files=files, features=features)
        streamed = builder.as_streaming_dataset("train")
        yield from streamed.with_format("arrow").iter(_ROWS_AT_ONCE)


def _records(path: Path, column: str, classes: list[str]) -> Iterator[tuple[str, Record]]:
    """Rows of a file; numbers in `column` become the names that the file itself gives them."""
    number, tables = 0, _tables(path)
    while True:
        try:
            table = next(tables, None)
            records = [] if table is None else table.to_pylist()
        except BadData:
            raise
        except _BROKEN as error:
            raise BadData(f"{path}: behind row {number}: broken: {_first_line(error)}") from error
        if table is None:
            return
        for record in records:
            number += 1
            place = f"{path}: row {number}"
            yield place, _named(place, record, column.split("."), classes)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


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


def names_of_classes(schema: pa.Schema, column: str) -> list[str]:
    """The names of the classes in a column by number, as the file's own metadata state them.

    [] where it says nothing, or names its classes 0, 1, 2.
    """
    from datasets import ClassLabel, LargeList, List

    found: Any = features_of(schema)
    for part in [*column.split("."), ""]:
        while isinstance(found, list | List | LargeList):
            found = found[0] if isinstance(found, list) else found.feature
        if part:
            found = found.get(part) if isinstance(found, Mapping) else None
    names = list(found.names) if isinstance(found, ClassLabel) else []
    return [] if names == [str(number) for number in range(len(names))] else names


def _class_names(request: ReadRequest, path: Path, column: str) -> list[str]:
    """The names of the classes in `column` by number, which rule over `label_names`.

    The hub's libraries write them into a file, and upstream order has changed more than once.
    BadData where the file's names are not those of the task.
    """
    if ".jsonl" in path.suffixes:
        return []
    if not (names := names_of_classes(schema_of(path), column)):
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
