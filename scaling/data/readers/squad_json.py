"""SQuAD's JSON: SQuAD 1.1 and 2.0, XQuAD, MLQA, TyDiQA-GoldP.

Options: `unanswerable: true` (SQuAD 2.0, its `plausible_answers` are not answers); `id_prefix`, the
start of the ids of this language where one file holds all ({lang} is the upstream code, `swahili`
in TyDiQA); `held_out: true`, the last file is a test set, and questions on its paragraphs are left
out (SQuAD's dev set and XQuAD share paragraphs).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.data.readers.raw import checked_options, filled, read_json
from scaling.data.readers.records import question
from scaling.data.schema import BadData, ReadRequest, Row


def read_squad_json(request: ReadRequest) -> Iterator[Row]:
    """Questions of all files, in order."""
    checked_options(request, {"unanswerable", "id_prefix", "held_out"})
    prefix = filled(request.options.get("id_prefix", ""), request)
    held_out = request.files[-1:] if request.options.get("held_out") else []
    unseen = {
        paragraph["context"].strip() for path in held_out for _, _, paragraph in paragraphs(path)
    }
    for path in request.files[: len(request.files) - len(held_out)]:
        for place, _, paragraph in paragraphs(path):
            if paragraph["context"].strip() in unseen:
                continue
            for asked in paragraph["qas"]:
                where = f"{place}, question {asked.get('id')!r}"
                try:
                    row_id, text = asked["id"], asked["question"]
                    impossible = asked.get("is_impossible", False)
                    answers = (
                        []
                        if impossible
                        else [(item["text"], item["answer_start"]) for item in asked["answers"]]
                    )
                except KeyError as error:
                    raise BadData(f"{where}: no field {error}; there: {sorted(asked)}") from error
                if row_id.startswith(prefix):
                    yield question(request, where, row_id, paragraph["context"], text, answers)


def paragraphs(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(place, number in the file from 1, paragraph) of a file in SQuAD's format."""
    whole = read_json(path)
    if not isinstance(whole, dict) or not isinstance(whole.get("data"), list):
        raise BadData(f"{path}: not in SQuAD's format: an object with a list `data` is due")
    number = 0
    for article in whole["data"]:
        for paragraph in article.get("paragraphs", ()):
            number += 1
            place = f"{path}: paragraph {number}"
            missing = {"context", "qas"} - set(paragraph)
            if missing:
                raise BadData(f"{place}: no field {sorted(missing)}; there: {sorted(paragraph)}")
            yield place, number, paragraph
