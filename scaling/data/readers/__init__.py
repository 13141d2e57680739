"""Readers, one file per raw format: the files of one split of one language → rows of a kind.

To add a format, write `read(request) -> Iterator[Row]` and name it here. Every error is BadData
with file and line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

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
from scaling.data.readers.raw import defect
from scaling.data.readers.squad_json import read_squad_json
from scaling.data.readers.squad_pairs import read_squad_pairs
from scaling.data.readers.subjqa import read_subjqa
from scaling.data.readers.word_order import read_word_order
from scaling.data.schema import BadData, Reader, ReadRequest, Row


def whole(reader: Reader) -> Reader:
    """`reader`, held to what every split must be: not empty, and no id twice.

    With the option `hold_out`, a share of 0 to 1, dev and train are read from the same files: dev
    gets the rows whose id hashes below the share (whose context does, where there is one: no
    paragraph is in both), train the others.
    """

    def read(request: ReadRequest, /) -> Iterator[Row]:
        seen: dict[str, int] = {}
        hold_out = request.options.get("hold_out", 0)
        for row in reader(request):
            row_id = row["id"]
            if hold_out and request.split in ("train", "dev"):
                is_dev = _share(row.get("context") or row_id) < hold_out
                if is_dev != (request.split == "dev"):
                    continue
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


def _share(text: str) -> float:
    """A number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _place(request: ReadRequest) -> str:
    return ", ".join(map(str, request.files))


READERS: dict[str, Reader] = {
    name: whole(reader)
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
