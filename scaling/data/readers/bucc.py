"""BUCC 2018: two files of `id<TAB>sentence`, and the gold pairs `id<TAB>id` of a few sentences.

Files: the language's, English, gold; then the dev set's three where a threshold is to be tuned.
Queries are the language's sentences, candidates the English ones; dev sentences are sides of their
own, `dev_query` and `dev_candidate`, in the same file, since the metric is defined on both
together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from scaling.data.readers.raw import lines, only_file
from scaling.data.schema import BadData, ReadRequest, Row


def read_bucc(request: ReadRequest) -> Iterator[Row]:
    """Queries with their gold candidates (most have none), then candidates; then the dev set's."""
    files = only_file(request, count=6 if len(request.files) > 3 else 3)
    yield from _corpus(request, files[:3], "")
    if files[3:]:
        yield from _corpus(request, files[3:], "dev")


def _corpus(request: ReadRequest, files: Sequence[Path], part: str) -> Iterator[Row]:
    own_path, english_path, gold_path = files
    # The two sets number their sentences alike.
    prefix, side = (f"{part}/", f"{part}_") if part else ("", "")
    own, english = dict(_pairs(own_path)), dict(_pairs(english_path))
    gold = defaultdict(list)
    for place, line in lines(gold_path):
        left, right = _fields(place, line)
        if left not in own or right not in english:
            raise BadData(
                f"{place}: the pair {left!r}, {right!r} names a sentence that is not in the files"
            )
        gold[left].append(prefix + right)
    for row_id, text in own.items():
        yield {
            "id": prefix + row_id,
            "side": f"{side}query",
            "language": request.language,
            "text": text,
            "context": "",
            "relevant": gold[row_id],
        }
    for row_id, text in english.items():
        yield {
            "id": prefix + row_id,
            "side": f"{side}candidate",
            "language": "en",
            "text": text,
            "context": "",
            "relevant": [],
        }


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
