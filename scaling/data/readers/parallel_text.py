"""Two text files, line n of one the translation of line n of the other: Tatoeba, LAFAND, …

Files: the language's own, then the other. Option `query`: `other` (default) looks up the other
language's sentence among the own language's, as XTREME does for Tatoeba (index: the language;
queries: English); `own` the other way round. Option `other`: the other language's code, `en` by
default.
"""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.readers.raw import defect, lines, only_file
from scaling.data.readers.records import pair
from scaling.data.schema import BadData, ReadRequest, Row


def read_parallel_text(request: ReadRequest) -> Iterator[Row]:
    """A query and a candidate per line."""
    query, other = request.options.get("query", "other"), request.options.get("other", "en")
    own_path, other_path = only_file(request, count=2)
    own_lines, other_lines = list(lines(own_path)), list(lines(other_path))
    if len(own_lines) != len(other_lines):
        raise BadData(
            f"{own_path} has {len(own_lines)} lines and {other_path} has {len(other_lines)}: not"
            " parallel"
        )
    for number, (own, opposite) in enumerate(zip(own_lines, other_lines, strict=True)):
        for place, line in (own, opposite):
            if not line.strip():
                defect(request, "empty_text", place, "empty sentence")
        sides = [(other, opposite[1]), (request.language, own[1])]
        (asked, text), (found, candidate) = sides if query == "other" else sides[::-1]
        yield from pair(str(number), [asked, found], text, candidate)
