from __future__ import annotations

from random import Random

import pytest
from sklearn.metrics import average_precision_score

from scaling.kinds.metrics import METRICS


def test_average_precision_equals_sklearn_where_nothing_is_cut() -> None:
    random = Random(1)
    for _ in range(500):
        ids = [str(number) for number in range(random.randint(1, 20))]
        relevant = set(random.sample(ids, random.randint(1, min(11, len(ids)))))
        ranking = random.sample(ids, len(ids))
        truth = [name in relevant for name in ranking]
        ours = METRICS["map_at_20"]([ranking], [relevant], "")[0]["map_at_20"]
        assert ours == pytest.approx(
            average_precision_score(truth, range(len(ids), 0, -1)), abs=1e-12
        )


def test_map_is_cut_at_20_as_trec_eval_cuts() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    random = Random(2)
    ids = [f"d{number:03}" for number in range(60)]
    for _ in range(300):
        relevant = random.sample(ids, random.randint(1, 30))
        ranking = random.sample(ids, 60)
        judged = pytrec_eval.RelevanceEvaluator({"q": dict.fromkeys(relevant, 1)}, {"map_cut.20"})
        theirs = judged.evaluate(
            {"q": {name: float(60 - rank) for rank, name in enumerate(ranking)}}
        )
        ours = METRICS["map_at_20"]([ranking], [relevant], "")[0]["map_at_20"]
        assert ours == pytest.approx(theirs["q"]["map_cut_20"], abs=1e-12)


def test_one_relevant_candidate_gives_the_reciprocal_rank() -> None:
    scores = METRICS["map_at_20"]([["a", "b"], [str(n) for n in range(20)]], [["b"], ["x"]], "")
    assert [score["map_at_20"] for score in scores] == [0.5, 0.0]
    for ranking, relevant, message in (
        (["a"], [], "without relevant"),
        (["a", "a"], ["a"], "twice"),
    ):
        with pytest.raises(ValueError, match=message):
            METRICS["map_at_20"]([ranking], [relevant], "")
