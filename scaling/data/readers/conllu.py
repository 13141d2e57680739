"""CoNLL-U: universal part-of-speech tags.

Option `words`: `syntactic` (default), UD's own units, multiword tokens split; or `xtreme`, the
units on which XTREME's numbers are defined (ud-conversion-tools and utils_preprocess.py at
google-research/xtreme@0918248): a multiword token is one word with the tag of its part nearest the
root, zero-width non-joiners and spaces inside words are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scaling.data.readers.raw import defect, lines, numbered
from scaling.data.readers.records import tagged
from scaling.data.schema import BadData, ReadRequest, Row

_FIELDS = 10
# Which part of a multiword token gives the tag where several are equally near the root, best first.
_PRECEDENCE = {
    "": "VERB NOUN PROPN PRON ADJ NUM ADV INTJ AUX ADP DET PART CCONJ SCONJ X PUNCT",
    "es": "VERB AUX PRON ADP DET",
    "fr": "VERB AUX PRON NOUN ADJ ADV ADP DET PART SCONJ CONJ",
    "it": "VERB AUX ADV PRON ADP DET INTJ",
}


@dataclass(frozen=True, kw_only=True)
class _Token:
    first: int
    last: int
    form: str
    tag: str
    head: int
    """0 for the root, and where the file gives none."""


def read_conllu(request: ReadRequest) -> Iterator[Row]:
    """One row per sentence; its id is `sent_id` where there is one."""
    mode = request.options.get("words", "syntactic")
    for file, path in enumerate(request.files):
        sentence: list[_Token] = []
        row_id, start, number = "", "", 0
        for place, line in (*lines(path), (f"{path}: end of file", "")):
            if line.startswith("#"):
                key, _, value = line[1:].partition("=")
                row_id = value.strip() if key.strip() == "sent_id" else row_id
            elif line.strip():
                start = start or place
                if (token := _token(place, line)) is not None:
                    sentence.append(token)
            elif sentence:
                yield from _row(
                    request, start, row_id or numbered(request, file, number), sentence, mode
                )
                sentence, row_id, start, number = [], "", "", number + 1


def _token(place: str, line: str) -> _Token | None:
    """A word or a multiword token; None for an empty node (8.1), which is no word."""
    fields = line.split("\t")
    if len(fields) != _FIELDS:
        raise BadData(f"{place}: {len(fields)} fields where CoNLL-U has {_FIELDS}")
    if "." in fields[0]:
        return None
    first, _, last = fields[0].partition("-")
    if not first.isdecimal() or (last and not last.isdecimal()):
        raise BadData(f"{place}: {fields[0]!r} is no token id (8, 8-9 or 8.1)")
    head = int(fields[6]) if fields[6].isdecimal() else 0
    return _Token(
        first=int(first), last=int(last or first), form=fields[1], tag=fields[3], head=head
    )


def _row(
    request: ReadRequest, place: str, row_id: str, tokens: list[_Token], mode: str
) -> Iterator[Row]:
    words = [token for token in tokens if token.first == token.last]
    if [word.first for word in words] != list(range(1, len(words) + 1)):
        raise BadData(
            f"{place}: sentence {row_id!r}: word ids {[word.first for word in words]} are not 1, 2,"
            " 3, …"
        )
    num_hidden = sum(word.form == "_" for word in words)
    if num_hidden and num_hidden >= len(words) - 1:
        defect(
            request,
            "masked_text",
            place,
            f"sentence {row_id!r} has {num_hidden} of {len(words)} words hidden",
        )
        return
    pairs = [(word.form, word.tag) for word in words]
    if mode == "xtreme":
        ranks = _PRECEDENCE.get(request.language, _PRECEDENCE[""]).split()
        pairs = [
            (form.replace("\u200c", "").replace(" ", ""), tag)
            for form, tag in _fused(tokens, words, ranks)
        ]
    tags = []
    for form, tag in pairs:
        if tag == "_":
            defect(
                request,
                "untagged_word",
                place,
                f"sentence {row_id!r}: the word {form!r} has no tag",
            )
        tags.append("X" if tag == "_" else tag)
    yield tagged(request, place, row_id, [form for form, _ in pairs], tags)


def _fused(tokens: list[_Token], words: list[_Token], ranks: list[str]) -> list[tuple[str, str]]:
    """(form, tag) with each multiword token as one word."""
    pairs: list[tuple[str, str]] = []
    covered = 0
    for token in tokens:
        if token.first == token.last and token.first > covered:
            pairs.append((token.form, token.tag))
        elif token.last > token.first:
            covered = token.last
            parts = words[token.first - 1 : token.last]
            # Of equally near parts the first of the best rank; a tag without a rank comes last.
            best = min(parts, key=lambda part: (_depth(part, words), _rank(part.tag, ranks)))
            pairs.append((token.form, best.tag))
    return pairs


def _rank(tag: str, ranks: list[str]) -> int:
    return ranks.index(tag) if tag in ranks else len(ranks)


def _depth(word: _Token, words: list[_Token]) -> int:
    """Arcs to the root; a cycle or a head that is not there ends the walk."""
    depth = 0
    while 0 < word.head <= len(words) and depth <= len(words):
        word = words[word.head - 1]
        depth += 1
    return depth
