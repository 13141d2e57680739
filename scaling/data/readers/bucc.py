"""BUCC 2018: two monolingual files of `id<TAB>sentence` and the gold pairs `id<TAB>id`, most sentences having none.

Files: the language's, English, gold. Queries are the language's sentences, candidates the English ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.raw import checked_options, lines, only_file
from scaling.data.schema import BadData, ReadRequest, Row


def read_bucc(request: ReadRequest) -> Iterator[Row]:
    """Queries with their gold candidates (none for most), then candidates."""
    checked_options(request, set())
    own_path, english_path, gold_path = only_file(request, count=3)
    own, english = dict(_pairs(own_path)), dict(_pairs(english_path))
    gold = defaultdict(list)
    for place, line in lines(gold_path):
        left, right = _fields(place, line)
        if left not in own or right not in english:
            raise BadData(f"{place}: the pair {left!r}, {right!r} names a sentence that is not in the files")
        gold[left].append(right)
    for row_id, text in own.items():
        yield {
            "id": row_id, "side": "query", "language": request.language, "text": text, "context": "",
            "relevant": gold[row_id],
        }  # fmt: skip
    for row_id, text in english.items():
        yield {
            "id": row_id, "side": "candidate", "language": "en", "text": text, "context": "", "relevant": [],
        }  # fmt: skip


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for place, line in lines(path):
        row_id, text = _fields(place, line)
        if row_id in seen:
            raise BadData(f"{place}: the id {row_id!r} occurs twice")
        seen.add(row_id)
        yield row_id, text


def _fields(place: str, line: str) -> tuple[str, str]:
    fields = line.split("\t")
    if len(fields) != 2:
        raise BadData(f"{place}: {len(fields)} fields where 2 are due (id, sentence or id)")
    return fields[0], fields[1]
