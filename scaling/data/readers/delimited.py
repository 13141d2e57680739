"""TSV and CSV by column mapping: XNLI, PAWS-X, AmericasNLI, KorNLI, MSRP, Cosmos QA, …

Options beside those of records.py: `delimiter`, tab, comma or semicolon (by default comma for .csv,
tab otherwise); `columns`, the names where the file has no header. Files with commas or semicolons
follow CSV's quoting, tab-separated files have none: a quotation mark is text there, as in the
official readers of XNLI, PAWS-X and MSRP.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.raw import lines, open_text
from scaling.data.readers.records import Record, rows
from scaling.data.schema import BadData, ReadRequest, Row


def read_delimited(request: ReadRequest) -> Iterator[Row]:
    """Rows by column mapping; a line with another number of fields than the header is BadData."""
    return rows(request, (_records(request, path) for path in request.files))


def _records(request: ReadRequest, path: Path) -> Iterator[tuple[str, Record]]:
    delimiter = request.options.get("delimiter") or ("comma" if ".csv" in path.suffixes else "tab")
    fields = (
        _quoted(path, {"comma": ",", "semicolon": ";"}[delimiter])
        if delimiter != "tab"
        else ((place, line.split("\t")) for place, line in lines(path))
    )
    columns: list[str] | None = request.options.get("columns")
    for place, values in fields:
        if columns is None:
            columns = values
            twice = sorted({name for name in values if values.count(name) > 1})
            if twice:
                raise BadData(f"{place}: the header has the column {twice[0]!r} twice")
        elif values not in ([], [""]):
            if len(values) != len(columns):
                raise BadData(
                    f"{place}: {len(values)} fields where {len(columns)} are due"
                    f" ({', '.join(columns)})"
                )
            yield place, dict(zip(columns, values, strict=True))


def _quoted(path: Path, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    with open_text(path, newline="") as text:
        reader = csv.reader(text, strict=True, delimiter=delimiter)
        begin = 1
        try:
            for values in reader:
                yield f"{path}:{begin}", values
                begin = reader.line_num + 1
        except csv.Error as error:
            raise BadData(f"{path}:{begin}: broken CSV: {error}") from error
