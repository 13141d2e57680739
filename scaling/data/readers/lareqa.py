"""XQuAD-R, LAReQA's data: XQuAD with sentence breaks. A question's right answers are one sentence
in each language.

Files: the language's own, then those of all languages (a pattern; the own one again among them),
which give the right answers in other languages. Option `candidates`: `all` (default) writes every
language's sentences, the pool of XTREME-R, into each language's rows; `own` only the language's
own, for a pool that is put together later. A candidate's id is language_paragraph_sentence, the
same whichever language is read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from scaling.data.readers.raw import checked_options
from scaling.data.readers.squad_json import paragraphs
from scaling.data.schema import BadData, ReadRequest, Row
from scaling.spec import UserError

_LANGUAGE = re.compile(r"^([a-z]{2,3})\.json(\.gz)?$")


def read_xquad_r(request: ReadRequest) -> Iterator[Row]:
    """The language's questions, then the candidates."""
    checked_options(request, {"candidates"})
    scope = request.options.get("candidates", "all")
    if scope not in ("all", "own"):
        raise UserError(f"candidates: {scope!r} must be 'all' or 'own'")
    relevant: dict[str, list[str]] = defaultdict(list)
    questions: list[tuple[str, str]] = []
    candidates: list[Row] = []
    for path in dict.fromkeys(request.files):
        language = _language(path)
        for place, number, paragraph in paragraphs(path):
            context, breaks = paragraph["context"], paragraph.get("sentence_breaks")
            if not breaks:
                raise BadData(f"{place}: no `sentence_breaks`: this is XQuAD, not XQuAD-R")
            sentences = [context[start:end] for start, end in breaks]
            ids = [f"{language}_{number}_{at}" for at in range(len(breaks))]
            for asked in paragraph["qas"]:
                start = asked["answers"][0]["answer_start"]
                holding = [
                    text
                    for text, (begin, end) in zip(sentences, breaks, strict=True)
                    if begin <= start < end
                ]
                if not holding:
                    raise BadData(
                        f"{place}, question {asked['id']!r}: its answer at {start} is in no"
                        " sentence"
                    )
                # A sentence that the paragraph repeats is right wherever it stands (XTREME-R's
                # utils_lareqa.py).
                relevant[asked["id"]] += [
                    name for name, text in zip(ids, sentences, strict=True) if text == holding[0]
                ]
                if language == request.language:
                    questions.append((asked["id"], asked["question"]))
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


def _language(path: Path) -> str:
    match = _LANGUAGE.match(path.name)
    if match is None:
        raise BadData(f"{path}: an XQuAD-R file is named by its language, as in ar.json")
    return match[1]
