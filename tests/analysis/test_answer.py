"""The answer in words: signs that intervals support, and every reason for what is not in it."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from analysis.answer import answers
from scaling.study.question import Question
from tests.helpers.synthetic import study

QUESTION = Question(resamples=0)


def test_words_follow_the_sign_of_the_interval_at_each_end() -> None:
    harm = answers(study(gain=lambda u, *_: 4 - 5 * u), QUESTION)[0]
    assert "helped 7 low-resource languages on panx and xnli" in harm.sentence
    assert "At the largest (XXL) it harmed them: −" in harm.sentence
    nothing = answers(study(gain=lambda u, *_: 0.05), QUESTION)[0]
    assert "made no measurable difference to 7" in nothing.sentence
    assert "helped" not in nothing.sentence


@pytest.mark.parametrize(
    ("gain", "form", "says"),
    [
        (lambda u: 4 - 2 * u, "DIMINISHES", "The gain shrinks with scale"),
        (lambda u: 4 - 6 * u, "TURNS INTO HARM", "turns into harm"),
        (lambda u: -2 - 3 * u, "HARM GROWS", "the harm grows with scale"),
        (lambda u: -6 + 3 * u, "HARM SHRINKS", "the harm shrinks with scale"),
        (lambda u: -2 + 4 * u, "GROWS", "from a loss"),
        (lambda u: 1 + 3 * u, "GROWS", "The gain grows with scale for low-resource languages, in"),
    ],
)
def test_harm_is_called_harm(gain: Callable[[float], float], form: str, says: str) -> None:
    found = answers(study(gain=lambda u, *_: gain(u), baseline=lambda *_: 50.0), QUESTION)[0]
    assert found.form == form
    assert says in found.headline


def test_a_study_that_still_runs_has_no_verdict() -> None:
    found = answers(study(), QUESTION, unfinished=3)[0]
    assert found.form == "no verdict yet"
    assert "3 steps" in found.headline
    assert not found.sentence


def test_an_untested_study_says_no_sign_and_no_interval() -> None:
    found = answers(study(seeds=1), QUESTION)[0]
    assert found.form == "descriptive only"
    for word in ("interval", "helped", "harmed", "measurable"):
        assert word not in found.sentence


def test_all_that_is_left_out_has_its_reason() -> None:
    frame = study(arms=("mnli", "squad1", "control-x"), seeds=4)
    dead = (
        (pl.col("arm") == "squad1")
        & (pl.col("target") == "xnli")
        & (pl.col("model") == "xlm-r-base")
        & (pl.col("seed") > 0)
    )
    frame = frame.with_columns(collapsed=pl.col("collapsed") | dead)
    gone = (pl.col("language") == "sw") & (pl.col("model") == "xlm-r-xl")
    late = (pl.col("model") == "xlm-r-xxl") & (pl.col("language") != "te")
    expected = frame.select("model", "arm", "target", "language", "seed")
    found = answers(frame.filter(~(gone | late)), QUESTION, expected=expected)[0]
    text = "\n".join(found.left_out)
    for reason in (
        "English, which phase ii",
        "8 languages that are not low-resource",
        "control-x: a control",
        "mnli on xnli: both phases train on the same data",
        "XXL: too few series have scores there",
        "mnli on panx in 1 language: no healthy run at XL (scores are missing)",
        "squad1 on xnli in 6 languages: 1 healthy run at Base (3 of 4 runs collapsed)",
        "scores: not there",
    ):
        assert reason in text, reason


def test_families_are_answered_apart_and_what_has_no_slope_says_why() -> None:
    frame = study()
    other = frame.filter(pl.col("model") == "xlm-r-base").with_columns(method=pl.lit("lora"))
    both = answers(pl.concat([frame, other]), QUESTION)
    assert [(one.name.split("-")[-1], bool(one.sentence)) for one in both] == [
        ("full", True),
        ("lora", False),
    ]
    assert both[1].form == "no verdict yet"
    assert "two sizes" in both[1].headline
