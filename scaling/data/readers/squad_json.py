"""SQuAD's JSON: SQuAD 1.1 and 2.0, XQuAD, MLQA, TyDiQA-GoldP.

Options: `unanswerable: true` (SQuAD 2.0, its `plausible_answers` are not answers); `id_prefix`, the
start of the ids of this language where one file holds all ({lang} is the upstream code, `swahili`
in TyDiQA); `held_out: true`, the last file is a test set, and questions on its paragraphs are left
out (SQuAD's dev set and XQuAD share paragraphs); `optional: [context]`, questions of paragraphs
without a text are counted and left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.data.readers.raw import filled, id_of, list_of, part_of, read_json, text_of
from scaling.data.readers.records import question
from scaling.data.schema import BadData, ReadRequest, Row


def read_squad_json(request: ReadRequest) -> Iterator[Row]:
    """Questions of all files, in order."""
    prefix = filled(request.options.get("id_prefix", ""), request)
    held_out = request.files[-1:] if request.options.get("held_out") else []
    unseen = {
        paragraph["context"].strip() for path in held_out for _, _, paragraph in paragraphs(path)
    }
    without = request.counts if request.options.get("optional") else None
    for path in request.files[: len(request.files) - len(held_out)]:
        for place, _, paragraph in paragraphs(path, without):
            if paragraph["context"].strip() in unseen:
                continue
            for asked in paragraph["qas"]:
                where = f"{place}, question {asked.get('id')!r}"
                row_id, answers = id_of(where, "id", part_of(where, asked, "id")), []
                impossible = asked.get("is_impossible", False)
                if not isinstance(impossible, bool):
                    raise BadData(f"{where}: 'is_impossible' is {impossible!r}, not true or false")
                if not impossible:
                    answers = answers_of(where, asked)
                if row_id.startswith(prefix):
                    text = part_of(where, asked, "question")
                    yield question(request, where, row_id, paragraph["context"], text, answers)


def answers_of(place: str, asked: dict[str, Any]) -> list[tuple[Any, Any]]:
    """(text, answer_start) of every answer to a question."""
    return [
        (part_of(place, item, "text"), part_of(place, item, "answer_start"))
        for item in list_of(place, "answers", part_of(place, asked, "answers"))
    ]


def paragraphs(
    path: Path, without: Counter[str] | None = None
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(place, number in the file from 1, paragraph) of a file in SQuAD's format.

    `without`: counts questions of paragraphs without a context, which are left out; None if such
    are refused.
    """
    whole = read_json(path)
    if not isinstance(whole, dict) or not isinstance(whole.get("data"), list):
        raise BadData(f"{path}: not in SQuAD's format: an object with a list `data` is due")
    number = 0
    for article in whole["data"]:
        if not isinstance(article, dict):
            raise BadData(f"{path}: behind paragraph {number}: {article!r:.60} is no article")
        place = f"{path}: behind paragraph {number}"
        for paragraph in list_of(place, "paragraphs", article.get("paragraphs", [])):
            number += 1
            place = f"{path}: paragraph {number}"
            if without is not None and not str(paragraph.get("context") or "").strip():
                lost = len(list_of(place, "qas", part_of(place, paragraph, "qas")))
                without["questions without a context, left out"] += lost
                continue
            text_of(place, "context", part_of(place, paragraph, "context"))
            for asked in list_of(place, "qas", part_of(place, paragraph, "qas")):
                if not isinstance(asked, dict):
                    raise BadData(f"{place}: {asked!r:.60} is no question")
            yield place, number, paragraph
