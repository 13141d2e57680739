"""Answers come back from any script and any window; the document is covered; <s> is no answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.catalogue.task import Key
from scaling.kinds import KINDS
from scaling.kinds.kind import Part, scores
from scaling.kinds.span_qa import (
    MAX_ANSWER,
    SPAN_QA,
    STRIDE,
    best_span,
    document_windows,
    token_offsets,
)
from tests.helpers.making import SENTENCES, perfect, recipe, round_trip, table, task, tokenizer

QA = task("span_qa", "squad1")
QA2 = task("span_qa", "squad2")


def asked(code: str, times: int = 1) -> list[dict[str, Any]]:
    """A question for every word of the document, answered at its last occurrence."""
    context = " ".join([SENTENCES[code]] * times)
    rows = []
    start = len(context) - len(SENTENCES[code])
    for number, word in enumerate(SENTENCES[code].split()):
        at = context.index(word, start)
        start = at + len(word)
        rows.append(
            {
                "id": f"{code}{number}",
                "context": context,
                "question": "Who was the first master ?",
                "answers": [{"text": word, "start": at}],
            }
        )
    return rows


@pytest.mark.parametrize("code", SENTENCES)
@pytest.mark.parametrize("max_length", [48, 384])
def test_gold_answers_come_back(code: str, max_length: int) -> None:
    rows = asked(code, times=5)
    outcomes = round_trip(QA, table("span_qa", rows), code, tokenizer(), max_length=max_length)
    assert outcomes["prediction"].to_pylist() == [row["answers"][0]["text"] for row in rows]
    found = {score.metric: (score.value, score.main) for score in scores(outcomes, 0.0)}
    assert found["exact_match"] == (1.0, False)
    assert next(iter(found)) == "f1"


def test_long_questions_are_cut_and_counted_documents_never() -> None:
    rows = [{**row, "question": " ".join([SENTENCES["en"]] * 5)} for row in asked("th", 6)]
    features = KINDS["span_qa"].encode(
        table("span_qa", rows), QA, tokenizer(), recipe(QA, max_length=48)
    )
    assert max(map(len, features["input_ids"].to_pylist())) <= 48
    assert all(features["cut"].to_pylist())
    for row in range(len(rows)):
        chosen = [feature for feature in features.to_pylist() if feature["row"] == row]
        spans = {
            offsets
            for feature in chosen
            for offsets in zip(feature["starts"], feature["ends"], strict=True)
        }
        covered = {at for start, end in spans for at in range(start, end)}
        context = rows[row]["context"]
        assert {at for at, character in enumerate(context) if not character.isspace()} <= covered


def test_unanswerable_questions_are_told_by_the_first_token_in_every_window() -> None:
    rows = [{**asked("en", 4)[0], "answers": [], "id": "none"}, asked("en", 4)[3]]
    outcomes = round_trip(QA2, table("span_qa", rows), "en", tokenizer(), max_length=28)
    assert outcomes["prediction"].to_pylist() == ["", "opened"]
    assert outcomes["exact_match"].to_pylist() == [1.0, 1.0]
    assert outcomes["no_answer_accuracy"].to_pylist() == [1.0, None]
    # SQuAD 1.1 has an answer to every question: none may come back empty.
    forced = round_trip(QA, table("span_qa", rows[1:]), "en", tokenizer(), max_length=28)
    assert forced["prediction"].to_pylist() == ["opened"]


def test_an_answer_that_is_not_in_its_document_is_scored_and_not_trained_on() -> None:
    rows = [
        {**asked("en")[0], "answers": [{"text": "nowhere", "start": -1}], "id": "lost"},
        *asked("en")[1:3],
    ]
    features = KINDS["span_qa"].encode(
        table("span_qa", rows), QA, tokenizer(), recipe(QA, max_length=384)
    )
    assert features["unit"].to_pylist() == [-1, 0, 1] and features["row"].to_pylist() == [0, 1, 2]
    part = Part(
        key=Key("test", "en"),
        rows=table("span_qa", rows),
        features=features,
        predictions=perfect(features, "span_qa"),
    )
    assert KINDS["span_qa"].outcomes(part, QA)["f1"].to_pylist()[1:] == [1.0, 1.0]


def test_a_span_never_ends_before_it_begins_or_on_white_space() -> None:
    logits = np.array([[0, 0], [0, 0], [1, 5], [0, 9], [5, 0], [0, 2]], dtype=np.float32)
    # Tokens of the document from 2: 'ab', ' ' (empty), 'cd', 'ef'.
    found = best_span(logits, 2, [0, 2, 3, 6], [2, 2, 5, 8])
    assert (found.start, found.end, found.score) == (3, 8, 7.0)


@given(st.integers(0, 2000), st.integers(1, 400))
def test_windows_cover_all_tokens(num_tokens: int, room: int) -> None:
    found = list(document_windows(num_tokens, room))
    assert found[0][0] == 0 and found[-1][1] == num_tokens
    for (start, end), (following, _) in pairwise(found):
        assert start < following <= end and following - start <= STRIDE and end - start <= room


MARKS = [*range(0x01, 0x09), *range(0x0E, 0x1C), 0x7F, 0x8F, 0x9F, *range(0x200C, 0x2010), 0xFEFF]
MARKS += [0xAD, 0x200B, *range(0x202A, 0x202F), *range(0x2060, 0x2065)]


@pytest.mark.parametrize(
    "mark", [chr(code) for code in MARKS], ids=lambda mark: f"U{ord(mark):04X}"
)
@pytest.mark.parametrize("place", ["first", "second", "inside"])
def test_answers_shed_marks_without_width(mark: str, place: str) -> None:
    spec = task("span_qa", "squad1")
    context = {
        "first": f"{mark}Nokia{mark} founded in 1865 .",
        "second": f"founded by {mark}Nokia{mark} in 1865 .",
        "inside": f"founded by my{mark}Nokia in 1865 .",
    }[place]
    answer = {"text": "Nokia", "start": context.index("Nokia")}
    rows = table(
        "span_qa", [{"id": "1", "context": context, "question": "Who ?", "answers": [answer]}]
    )
    # Whatever tokenizers make of the mark: a token's own character, white space, or a token.
    for tok in (tokenizer(), blanking(tokenizer(), mark)):
        if place == "inside" and not parts(tok, context, answer["start"]):
            continue
        assert round_trip(spec, rows, "en", tok)["exact_match"].to_pylist() == [1.0]


def parts(tok: Any, context: str, at: int) -> bool:
    """Whether a token begins at a character, or behind a mark before it."""
    starts, _ = token_offsets(tok.encode(context, add_special_tokens=False), context)
    return at in starts


def blanking(tok: Any, mark: str) -> Any:
    """As XLM-R's: the mark becomes white space before words are parted."""
    from tokenizers import Tokenizer, normalizers

    made = Tokenizer.from_str(tok.to_str())
    made.normalizer = normalizers.Replace(mark, " ")
    return made


def test_a_number_sign_is_read() -> None:
    spec = task("span_qa", "squad1")
    context = "عام \u06011907 كان"
    answer = {"text": "\u06011907", "start": context.index("\u0601")}
    rows = table("span_qa", [{"id": "1", "context": context, "question": "?", "answers": [answer]}])
    assert round_trip(spec, rows, "ar", tokenizer())["exact_match"].to_pylist() == [1.0]


def test_what_cannot_be_answered_is_counted() -> None:
    spec = task("span_qa", "squad1")
    words = [f"w{at}" for at in range(60)]
    context = " ".join(["the", *words])
    long, whole = " ".join(words[10:32]), "w3"
    rows = table(
        "span_qa",
        [
            {
                "id": str(at),
                "context": context,
                "question": "Who ? " * (40 if text == whole else 1),
                "answers": [{"text": text, "start": start}],
            }
            for at, (text, start) in enumerate(
                [
                    (whole, context.index(whole)),
                    (long, context.index(long)),
                    ("nobody", -1),
                    (context, 0),
                    ("h", 1),
                ]
            )
        ],
    )
    features = SPAN_QA.encode(rows, spec, tokenizer(), recipe(spec, max_length=160))
    assert SPAN_QA.counts(rows, features) == {
        "questions cut": 1,
        f"answers of more than {MAX_ANSWER} tokens": 1,
        "answers that are not in their context": 1,
        "answers that no window holds whole": 1,
        "answers that end inside a token": 1,
    }
