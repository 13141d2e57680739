"""XQuAD-R, LAReQA's data: the right answers of a question are one sentence in each language.

It is XQuAD with sentence breaks. Files: the language's own, then those of all languages (a pattern;
the own one again among them), which give the right answers in other languages. Option `candidates`:
`all` (default) writes every language's sentences, the pool of XTREME-R, into each language's rows;
`own` only the language's own, for a pool that is put together later. A candidate's id is
language_paragraph_sentence, the same whichever language is read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.data.readers.raw import list_of, number_of, part_of, text_of
from scaling.data.readers.spans import checked_answer
from scaling.data.readers.squad_json import answers_of, paragraphs
from scaling.data.schema import BadData, ReadRequest, Row

_LANGUAGE = re.compile(r"^([a-z]{2,3})\.json(\.gz)?$")


def read_xquad_r(request: ReadRequest) -> Iterator[Row]:
    """The language's questions, then the candidates."""
    scope = request.options.get("candidates", "all")
    relevant: dict[str, list[str]] = defaultdict(list)
    questions: list[tuple[str, str]] = []
    candidates: list[Row] = []
    for path in dict.fromkeys(request.files):
        language = _language(path)
        for place, number, paragraph in paragraphs(path):
            context, breaks = paragraph["context"], paragraph.get("sentence_breaks")
            if not breaks:
                raise BadData(f"{place}: no `sentence_breaks`: this is XQuAD, not XQuAD-R")
            bounds = _bounds(place, breaks)
            sentences = [context[start:end] for start, end in bounds]
            ids = [f"{language}_{number}_{at}" for at in range(len(bounds))]
            for asked in paragraph["qas"]:
                where = f"{place}, question {asked.get('id')!r}"
                row_id = text_of(where, "id", part_of(where, asked, "id"))
                if language == request.language:
                    text = text_of(where, "question", part_of(where, asked, "question"))
                    questions.append((row_id, text))
                is_own = language == request.language
                held = _sentence_of(request, where, context, bounds, asked, is_own)
                # A sentence that the paragraph repeats is right wherever it stands (XTREME-R's
                # utils_lareqa.py).
                relevant[row_id] += [
                    name
                    for name, text in zip(ids, sentences, strict=True)
                    if held is not None and text == sentences[held]
                ]
            if paragraph["qas"] and (scope == "all" or language == request.language):
                candidates += [
                    {
                        "id": name,
                        "side": "candidate",
                        "language": language,
                        "text": text,
                        "context": context,
                        "relevant": [],
                    }
                    for name, text in zip(ids, sentences, strict=True)
                ]
    for row_id, text in questions:
        yield {
            "id": row_id,
            "side": "query",
            "language": request.language,
            "text": text,
            "context": "",
            "relevant": relevant[row_id],
        }
    yield from candidates


def _bounds(place: str, breaks: Any) -> list[tuple[int, int]]:
    pairs = [list_of(place, "sentence_breaks", pair) for pair in list_of(place, "breaks", breaks)]
    if any(len(pair) != 2 for pair in pairs):
        raise BadData(f"{place}: `sentence_breaks` are not pairs of offsets")
    return [
        (number_of(place, "sentence_breaks", start), number_of(place, "sentence_breaks", end))
        for start, end in pairs
    ]


def _sentence_of(
    request: ReadRequest,
    place: str,
    context: str,
    bounds: list[tuple[int, int]],
    asked: dict[str, Any],
    is_own: bool,
) -> int | None:
    """The number of the sentence that holds the first answer; None for an accepted missing one."""
    answers = answers_of(place, asked)
    if not answers:
        raise BadData(f"{place}: no answer")
    text, offset = answers[0]
    answer = checked_answer(
        request,
        place,
        context,
        text_of(place, "answers", text),
        number_of(place, "answer_start", offset),
    )
    start = answer["start"]
    if start < 0:
        return None
    held = next((at for at, (begin, end) in enumerate(bounds) if begin <= start < end), None)
    if held is None:
        raise BadData(f"{place}: its answer at {start} is in no sentence")
    if is_own and start + len(answer["text"].rstrip()) > bounds[held][1]:
        request.counts["answers that go on in the next sentence"] += 1
    return held


def _language(path: Path) -> str:
    match = _LANGUAGE.match(path.name)
    if match is None:
        raise BadData(f"{path}: an XQuAD-R file is named by its language, as in ar.json")
    return match[1]
