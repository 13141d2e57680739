from __future__ import annotations

import warnings
from random import Random

import pytest
import seqeval.metrics as seqeval

from scaling.kinds.metrics import METRICS, aggregate
from tests.helpers import adversarial

span_f1 = METRICS["span_f1"]


def test_equal_to_seqeval_on_adversarial_tags() -> None:
    random = Random(0)
    for _ in range(1500):
        predicted, gold = adversarial.tagged(random)
        ours = aggregate(span_f1(predicted, gold, ""))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = {
                "span_f1": seqeval.f1_score(gold, predicted),
                "span_precision": seqeval.precision_score(gold, predicted),
                "span_recall": seqeval.recall_score(gold, predicted),
            }
        assert ours == pytest.approx(theirs, abs=1e-12), (predicted, gold)


def test_bare_tags_are_scored_in_runs_and_cconj_equals_sconj() -> None:
    outcome = span_f1([["NOUN", "NOUN", "CCONJ"]], [["NOUN", "NOUN", "SCONJ"]], "")[0]
    assert outcome == {"span_correct": 2, "span_predicted": 2, "span_gold": 2}


def test_an_x_at_the_end_of_a_sentence_is_no_span() -> None:
    assert span_f1([["NOUN", "X"]], [["NOUN", "X"]], "")[0]["span_gold"] == 1


def test_main_score_comes_first() -> None:
    assert next(iter(aggregate(span_f1([["B-PER"]], [["B-PER"]], "")))) == "span_f1"


@pytest.mark.parametrize(
    ("predicted", "gold", "message"),
    [
        ([["O"]], [["O", "O"]], "sentence 0 has 1 predicted and 2 gold tags"),
        ([["O"]], [], "1 predictions for 0 references"),
        ([[""]], [["O"]], "empty tag"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(predicted: list, gold: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        span_f1(predicted, gold, "")


def test_tag_f1_is_word_accuracy() -> None:
    scores = aggregate(METRICS["tag_f1"]([["N", "NP"], ["N"]], [["N", "N"], ["N"]], ""))
    assert scores["tag_f1"] == pytest.approx(2 / 3)
