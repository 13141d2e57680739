"""SQuAD as question-sentence pairs, to train a dual encoder for LAReQA.

A candidate is the sentence with the answer, inside its paragraph. SQuAD has no sentence breaks.
Here a sentence ends at a full stop, question or exclamation mark (with closing quotes or brackets)
that is followed by white space and an upper-case letter, digit or opening quote, unless the word
before is a single letter or a common abbreviation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scaling.data.readers.hub_parquet import read_hub_parquet
from scaling.data.readers.squad_json import read_squad_json
from scaling.data.schema import ReadRequest, Row

_END = re.compile(r"[.!?][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9À-Þ])")
_ABBREVIATION = re.compile(
    r"(?:\b[A-Za-z]|\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Gen|Col|Lt|Rev|No|vs|cf|ca|Inc|Co|Ltd))$"
)


def read_squad_pairs(request: ReadRequest) -> Iterator[Row]:
    """A query per question and a candidate per distinct (paragraph, sentence).

    Files are Parquet or JSON, by their names.
    """
    is_parquet = all(path.suffix == ".parquet" for path in request.files)
    names: dict[tuple[str, int], str] = {}
    for row in (read_hub_parquet if is_parquet else read_squad_json)(request):
        if not row["answers"]:
            request.counts["questions without an answer, left out"] += 1
            continue
        context, start = row["context"], row["answers"][0]["start"]
        if start < 0:
            # Counted as answer_missing: no sentence holds it.
            continue
        begin, end = next((begin, end) for begin, end in sentences(context) if start < end)
        if start + len(row["answers"][0]["text"].rstrip()) > end:
            request.counts["answers that go on in the next sentence"] += 1
        is_new = (context, begin) not in names
        name = names.setdefault((context, begin), f"sentence-{len(names)}")
        yield {
            "id": row["id"],
            "side": "query",
            "language": request.language,
            "text": row["question"],
            "context": "",
            "relevant": [name],
        }
        if is_new:
            yield {
                "id": name,
                "side": "candidate",
                "language": request.language,
                "text": context[begin:end],
                "context": context,
                "relevant": [],
            }


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Offsets of the sentences of an English text, which together cover it."""
    begin = 0
    for match in _END.finditer(text):
        if not _ABBREVIATION.search(text[begin : match.start()]):
            yield begin, match.end()
            begin = match.end()
    if begin < len(text):
        yield begin, len(text)
