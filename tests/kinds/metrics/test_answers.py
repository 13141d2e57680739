from __future__ import annotations

import sys
from random import Random

import pytest

from scaling.kinds.metrics import METRICS, aggregate
from scaling.kinds.metrics.answers import normalise_mlqa
from tests.helpers import adversarial, answer_rules


def test_squad1_equals_the_rules_written_a_second_time() -> None:
    random = Random(1)
    for _ in range(2000):
        prediction, answers = adversarial.question(random, fewest_answers=1)
        outcome = METRICS["squad1"]([prediction], [answers], "xx")[0]
        assert (outcome["f1"], outcome["exact_match"]) == pytest.approx(
            answer_rules.squad1(prediction, answers)
        )


def test_squad1_equals_torchmetrics() -> None:
    pytest.importorskip("torchmetrics.functional.text")
    theirs = sys.modules["torchmetrics.functional.text.squad"]
    random = Random(2)
    for _ in range(1000):
        prediction, answers = adversarial.question(random, fewest_answers=1)
        outcome = METRICS["squad1"]([prediction], [answers], "")[0]
        best = {
            name: float(theirs._metric_max_over_ground_truths(score, prediction, answers))
            for name, score in (
                ("f1", theirs._compute_f1_score),
                ("exact_match", theirs._compute_exact_match_score),
            )
        }
        # torchmetrics computes in float32, and follows SQuAD 2.0 where both token lists are empty.
        if not answer_rules.tokens(prediction, "squad"):
            best.pop("f1")
        assert {name: outcome[name] for name in best} == pytest.approx(best, abs=1e-6), (
            prediction,
            answers,
        )


def test_squad2_equals_the_rules_written_a_second_time() -> None:
    random = Random(3)
    for _ in range(2000):
        prediction, answers = adversarial.question(random, fewest_answers=0)
        outcome = METRICS["squad2"]([prediction], [answers], "")[0]
        assert (outcome["f1"], outcome["exact_match"]) == pytest.approx(
            answer_rules.squad2(prediction, answers)
        )


@pytest.mark.parametrize("language", ["ar", "de", "en", "es", "hi", "vi", "zh"])
def test_mlqa_equals_the_rules_written_a_second_time(language: str) -> None:
    random = Random(4)
    for _ in range(600):
        prediction, answers = adversarial.question(random, fewest_answers=1)
        outcome = METRICS["mlqa"]([prediction], [answers], language)[0]
        expected = answer_rules.squad1(prediction, answers, rules=language)
        assert (outcome["f1"], outcome["exact_match"]) == pytest.approx(expected), (
            prediction,
            answers,
        )


def test_chinese_is_scored_by_character_and_arabic_loses_its_article_inside_words() -> None:
    assert normalise_mlqa("北京2008年，ABC", "zh") == "北 京 2008 年 abc"
    assert normalise_mlqa("والكتاب", "ar") == "و كتاب"


def test_mlqa_names_its_languages() -> None:
    with pytest.raises(ValueError, match=r"Unknown language of MLQA 'sw'.*vi, zh"):
        METRICS["mlqa"](["x"], [["x"]], "sw")


def test_unanswerable_questions() -> None:
    scores = aggregate(METRICS["squad2"](["", "x", "Paris"], [[], [], ["in Paris"]], ""))
    assert scores["no_answer_accuracy"] == 0.5
    assert scores["has_answer_f1"] == pytest.approx(2 / 3)
    assert scores["has_answer_exact_match"] == 0.0
    assert scores["exact_match"] == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="question 1 has no answers"):
        METRICS["squad1"](["x", "x"], [["x"], []], "")


def test_a_score_that_applies_to_nothing_is_left_out() -> None:
    assert "no_answer_accuracy" not in aggregate(METRICS["squad2"](["x"], [["x"]], ""))


def test_the_two_versions_differ_where_an_answer_is_only_an_article() -> None:
    assert METRICS["squad1"](["the"], [["the"]], "")[0] == {
        "f1": 0.0,
        "exact_match": 1.0,
        "f1_exact_mean": 0.5,
    }
    assert METRICS["squad2"](["the"], [["the"]], "")[0]["f1"] == 1.0
