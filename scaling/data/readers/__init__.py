"""Readers, one file per raw format: the files of one split of one language → rows of a kind.

To add a format, write `read(request) -> Iterator[Row]` and name it here and in
catalogue/readers.py, with its options. Every error is BadData
with file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scaling.data.holdout import part_of_split
from scaling.data.readers.bucc import read_bucc
from scaling.data.readers.ccg_auto import read_ccg_auto
from scaling.data.readers.conll import read_conll
from scaling.data.readers.conllu import read_conllu
from scaling.data.readers.copa_xml import read_copa_xml
from scaling.data.readers.delimited import read_delimited
from scaling.data.readers.django import read_django_messages
from scaling.data.readers.files import find_files
from scaling.data.readers.hub_parquet import read_hub_parquet
from scaling.data.readers.jsonl import read_jsonl
from scaling.data.readers.lareqa import read_xquad_r
from scaling.data.readers.mewsli_x import read_mewsli_x
from scaling.data.readers.parallel_text import read_parallel_text
from scaling.data.readers.plain_text import read_plain_text
from scaling.data.readers.pycountry import read_pycountry_names
from scaling.data.readers.raw import check_options, defect
from scaling.data.readers.squad_json import read_squad_json
from scaling.data.readers.squad_pairs import read_squad_pairs
from scaling.data.readers.subjqa import read_subjqa
from scaling.data.readers.word_order import read_word_order
from scaling.data.schema import BadData, Reader, ReadRequest, Row


def whole(name: str, reader: Reader) -> Reader:
    """The reader of this name, held to what every split must be.

    That is: options that it knows, not empty, and no id twice. With the option `hold_out` dev and
    train are read from the same files (holdout.py).
    """

    def read(request: ReadRequest, /) -> Iterator[Row]:
        check_options(name, request)
        seen: dict[str, int] = {}
        share = request.options.get("hold_out", 0)
        rows: Iterable[Row] = reader(request)
        if share and request.split in ("train", "dev"):
            rows = part_of_split(list(rows), request.split, share)
        for row in rows:
            row_id = row["id"]
            seen[row_id] = seen.get(row_id, 0) + 1
            if seen[row_id] > 1:
                defect(request, "repeated_id", _place(request), f"the id {row_id!r} occurs again")
                row = {**row, "id": f"{row_id}#{seen[row_id]}"}
            yield row
        if not seen:
            raise BadData(
                f"{_place(request)}: the {request.split} split of {request.language} is empty"
            )

    return read


def _place(request: ReadRequest) -> str:
    return ", ".join(map(str, request.files))


READERS: dict[str, Reader] = {
    name: whole(name, reader)
    for name, reader in {
        "bucc": read_bucc,
        "ccg_auto": read_ccg_auto,
        "conll": read_conll,
        "conllu": read_conllu,
        "copa_xml": read_copa_xml,
        "delimited": read_delimited,
        "hub_parquet": read_hub_parquet,
        "jsonl": read_jsonl,
        "mewsli_x": read_mewsli_x,
        "parallel_text": read_parallel_text,
        "plain_text": read_plain_text,
        "squad_json": read_squad_json,
        "squad_pairs": read_squad_pairs,
        "subjqa": read_subjqa,
        "word_order": read_word_order,
        "xquad_r": read_xquad_r,
        # Not files but Python packages.
        "django_messages": read_django_messages,
        "pycountry_names": read_pycountry_names,
    }.items()
}

__all__ = ["READERS", "find_files", "whole"]
