"""Accuracy of labels."""

from __future__ import annotations

from random import Random

from sklearn.metrics import accuracy_score

from scaling.kinds.metrics import METRICS, aggregate


def test_accuracy_equals_sklearn_and_takes_rankings_and_several_right_answers() -> None:
    random = Random(0)
    for _ in range(200):
        gold = [random.choice("abc") for _ in range(random.randint(1, 20))]
        predicted = [random.choice("abc") for _ in gold]
        assert aggregate(METRICS["accuracy"](predicted, gold, ""))["accuracy"] == accuracy_score(
            gold, predicted
        )
    outcomes = METRICS["accuracy"]([["c1", "c2"], ["c2"], []], [["c1"], ["c1"], ["c1"]], "")
    assert [outcome["accuracy"] for outcome in outcomes] == [1.0, 0.0, 0.0]
