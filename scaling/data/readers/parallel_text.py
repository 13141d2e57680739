"""Two files of texts, those of one id each other's translation: Tatoeba, LAFAND, Bibles, …

Files: the language's own, then the other. By default ids are the lines' numbers, so both files have
as many lines; with `form: ids` or `form: xml` (texts_by_id.py) what only one side has is counted
and left out. Option `query`: `other` (default) looks up the other language's sentence among the own
language's, as XTREME does for Tatoeba (index: the language; queries: English); `own` the other way
round. Option `other`: the other language's code, `en` by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.raw import defect, only_file
from scaling.data.readers.records import pair
from scaling.data.readers.texts_by_id import Text, texts_by_id
from scaling.data.schema import BadData, ReadRequest, Row


def read_parallel_text(request: ReadRequest) -> Iterator[Row]:
    """A query and a candidate for each text that both sides have."""
    query, other = request.options.get("query", "other"), request.options.get("other", "en")
    own_path, other_path = only_file(request, count=2)
    own_texts, other_texts = (list(texts_by_id(request, path)) for path in (own_path, other_path))
    if request.options.get("form", "lines") == "lines" and len(own_texts) != len(other_texts):
        raise BadData(
            f"{own_path} has {len(own_texts)} lines and {other_path} has {len(other_texts)}: not"
            " parallel"
        )
    for name, own, opposite in _aligned(request, own_texts, other_texts, other_path):
        sides = [(other, opposite), (request.language, own)]
        (asked, text), (found, candidate) = sides if query == "other" else sides[::-1]
        yield from pair(name, [asked, found], text, candidate)


def _aligned(
    request: ReadRequest, own: list[Text], other: list[Text], other_path: Path
) -> Iterator[tuple[str, str, str]]:
    """(id, own text, other text); an id without a text is as if it were not there.

    Lines have no such ids: an empty one is a defect.
    """
    by_line = request.options.get("form", "lines") == "lines"
    opposite = {name: (place, text) for place, name, text in other}
    alone = len(opposite.keys() - {name for _, name, _ in own})
    pairs = 0
    for place, name, text in own:
        there = opposite.get(name)
        sides = [(place, text), *([there] if there else [])]
        empty = [where for where, said in sides if not said.strip()]
        for where in empty if by_line else ():
            defect(request, "empty_text", where, "empty sentence")
        if there is None or (empty and not by_line):
            alone += 1
            continue
        pairs += 1
        yield name, text, there[1]
    if own and not pairs:
        raise BadData(
            f"{own[0][0]}: none of its {len(own):,} ids is in {other_path}, the first being"
            f" {own[0][1]!r} here" + (f" and {other[0][1]!r} there" if other else "")
        )
    if alone:
        request.counts["texts that only one side has, left out"] += alone
