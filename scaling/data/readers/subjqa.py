"""SubjQA's CSV: questions on reviews, unanswerable ones among them (a real stand-in for SQuAD 2.0).

A review ends with the word ANSWERNOTFOUND, which is the answer of unanswerable questions; it is cut
off.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.data.readers.raw import numbered, open_text
from scaling.data.readers.records import question
from scaling.data.schema import BadData, ReadRequest, Row

_NONE = "ANSWERNOTFOUND"
_OFFSETS = re.compile(r"^\((\d+), (\d+)\)$")
_COLUMNS = ("question", "review", "human_ans_spans", "human_ans_indices")


def read_subjqa(request: ReadRequest) -> Iterator[Row]:
    """One row per line. Several lines may ask the same question of a review."""
    for file, path in enumerate(request.files):
        with open_text(path, newline="") as text:
            reader = csv.DictReader(text)
            if missing := set(_COLUMNS) - set(reader.fieldnames or ()):
                raise BadData(f"{path}:1: no column {sorted(missing)}; there: {reader.fieldnames}")
            for number, record in enumerate(_records(path, reader)):
                place = f"{path}:{reader.line_num}"
                if None in record or None in record.values():
                    raise BadData(f"{place}: another number of fields than the header's")
                review, answer = record["review"].removesuffix(_NONE), record["human_ans_spans"]
                offsets = _OFFSETS.match(record["human_ans_indices"])
                if offsets is None:
                    raise BadData(
                        f"{place}: offsets {record['human_ans_indices']!r} are not of the form"
                        " (12, 34)"
                    )
                begin, end = int(offsets[1]), int(offsets[2])
                # The span column is tokenised (`service !`), the review is not: the review's own
                # words are the answer.
                if "".join(review[begin:end].split()) == "".join(answer.split()):
                    answer = review[begin:end]
                answers = [] if answer == _NONE else [(answer, begin)]
                yield question(
                    request,
                    place,
                    numbered(request, file, number),
                    review,
                    record["question"],
                    answers,
                )


def _records(path: Path, reader: csv.DictReader[str]) -> Iterator[dict[Any, Any]]:
    try:
        yield from reader
    except csv.Error as error:
        raise BadData(f"{path}:{reader.line_num}: broken CSV: {error}") from error
