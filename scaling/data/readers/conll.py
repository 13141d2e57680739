"""CoNLL columns of words and tags, an empty line between sentences: PAN-X, MasakhaNER, WNUT 17, …

Options: `prefix`, what precedes each word (`{lang}:` in PAN-X); `label_map` {upstream tag: ours};
`word_column` and `tag_column`, counted from 0 or from the end by -1 (by default the first and the
last); `comments`, what a line begins with that is no word. Columns are apart by a tab where the
line has one, by spaces otherwise (a word may be a no-break space: only these two count).
"""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.readers.raw import defect, filled, lines, numbered
from scaling.data.readers.records import mapped, tagged
from scaling.data.schema import BadData, ReadRequest, Row


def read_conll(request: ReadRequest) -> Iterator[Row]:
    """One row per sentence; an empty line ends one, and so does one that begins with -DOCSTART-."""
    prefix = filled(request.options.get("prefix", ""), request)
    comments = request.options.get("comments")
    for file, path in enumerate(request.files):
        words: list[str] = []
        tags: list[str] = []
        start, number = "", 0
        for place, line in (*lines(path), (f"{path}: end of file", "")):
            if comments and line.startswith(comments):
                continue
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
    options = request.options
    word, tag = options.get("word_column", 0), options.get("tag_column", -1)
    if len(columns) >= 2:
        if not all(-len(columns) <= at < len(columns) for at in (word, tag)):
            raise BadData(f"{place}: {len(columns)} columns; column {word} and {tag} are due")
        if columns[tag].strip():
            return columns[word], columns[tag].strip()
    defect(request, "untagged_word", place, f"no tag in {line!r}")
    return columns[word if len(columns) > 1 else 0], "O" if "O" in request.labels else "X"
