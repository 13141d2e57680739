"""CoNLL columns of words and tags, an empty line between sentences: PAN-X, MasakhaNER, WNUT 17, …

Options: `prefix`, what precedes each word (`{lang}:` in PAN-X); `label_map` {upstream tag: ours}.
The first column is the word, the last its tag; columns are apart by a tab where the line has one,
by spaces otherwise (a word may be a no-break space: only these two count).
"""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.readers.raw import checked_options, defect, filled, lines, numbered
from scaling.data.readers.records import mapped, tagged
from scaling.data.schema import BadData, ReadRequest, Row


def read_conll(request: ReadRequest) -> Iterator[Row]:
    """One row per sentence."""
    checked_options(request, {"prefix", "label_map"})
    prefix = filled(request.options.get("prefix", ""), request)
    for file, path in enumerate(request.files):
        words: list[str] = []
        tags: list[str] = []
        start, number = "", 0
        for place, line in (*lines(path), (f"{path}: end of file", "")):
            if line.strip(" \t") and not line.startswith("-DOCSTART-"):
                start = start or place
                word, tag = _columns(request, place, line)
                if not word.startswith(prefix):
                    raise BadData(f"{place}: {word!r} does not start with {prefix!r}")
                words.append(word[len(prefix) :])
                tags.append(mapped(request, place, tag))
            elif words:
                yield tagged(request, start, numbered(request, file, number), words, tags)
                words, tags, start, number = [], [], "", number + 1


def _columns(request: ReadRequest, place: str, line: str) -> tuple[str, str]:
    columns = line.split("\t") if "\t" in line else line.split(" ")
    columns = [column for column in columns if column] if "\t" not in line else columns
    if len(columns) >= 2 and columns[-1].strip():
        return columns[0], columns[-1].strip()
    defect(request, "untagged_word", place, f"no tag in {line!r}")
    return columns[0], "O" if "O" in request.labels else "X"
