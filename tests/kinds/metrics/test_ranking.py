from __future__ import annotations

from random import Random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, precision_recall_fscore_support

from scaling.metrics import METRICS, aggregate
from scaling.metrics.mining import best_threshold, mine
from scaling.metrics.retrieval import top_k, unit_rows


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


def test_no_score_is_invented_for_nothing() -> None:
    with pytest.raises(ValueError, match="empty test set"):
        aggregate([])


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


def test_top_k_equals_a_full_sort_with_ties_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.metrics.retrieval.QUERY_BLOCK", 7)
    monkeypatch.setattr("scaling.metrics.retrieval.SCORE_BLOCK", 900)
    random = np.random.default_rng(0)
    for _ in range(150):
        queries = random.integers(-3, 4, (random.integers(1, 30), 4)).astype(np.float32)
        candidates = random.integers(-3, 4, (random.integers(1, 2000), 4)).astype(np.float32)
        k = int(random.integers(1, 25))
        scores, indices = top_k(queries, candidates, k)
        every = queries @ candidates.T
        expected = np.argsort(-every, axis=1, kind="stable")[:, :k]
        assert (indices == expected).all()
        assert (scores == np.take_along_axis(every, expected, axis=1)).all()


def test_top_k_on_candidates_that_only_get_better() -> None:
    candidates = np.arange(5000, dtype=np.float32)[:, None]
    _, indices = top_k(np.ones((3, 1), np.float32), candidates, 4)
    assert indices.tolist() == [[4999, 4998, 4997, 4996]] * 3


def test_top_k_refuses_nan_and_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="NaN"):
        top_k(np.full((1, 2), np.nan, np.float32), np.ones((3, 2), np.float32), 1)
    with pytest.raises(ValueError, match="one d"):
        top_k(np.ones((1, 2), np.float32), np.ones((3, 3), np.float32), 1)
    assert top_k(np.ones((0, 2), np.float32), np.ones((3, 2), np.float32), 2)[1].shape == (0, 2)


def mined_slowly(queries: np.ndarray, candidates: np.ndarray, k: int) -> list[tuple[int, int]]:
    """Margin mining from its definition, with full similarity matrices."""
    x, y = unit_rows(queries).astype(np.float64), unit_rows(candidates).astype(np.float64)
    cosines = x @ y.T
    k_x, k_y = min(k, len(y)), min(k, len(x))
    of_x = np.sort(cosines, axis=1)[:, -k_x:].mean(axis=1)
    of_y = np.sort(cosines, axis=0)[-k_y:].mean(axis=0)
    margin = cosines / ((of_x[:, None] + of_y) / 2)
    found = {}
    for i in range(len(x)):
        near = np.argsort(-cosines[i])[:k_x]
        j = near[margin[i, near].argmax()]
        found[i, int(j)] = margin[i, j]
    for j in range(len(y)):
        near = np.argsort(-cosines[:, j])[:k_y]
        i = near[margin[near, j].argmax()]
        found[int(i), j] = margin[i, j]
    pairs: list[tuple[int, int]] = []
    for (i, j), _ in sorted(found.items(), key=lambda item: -item[1]):
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def test_mining_equals_its_definition() -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        size = int(random.integers(2, 40))
        queries = random.standard_normal((size, 8)).astype(np.float32) + 0.5
        candidates = (queries + 0.5 * random.standard_normal((size, 8))).astype(np.float32)[
            random.permutation(size)
        ]
        found, margins = mine(queries, candidates[: size - size // 3])
        assert [tuple(pair) for pair in found.tolist()] == mined_slowly(
            queries, candidates[: size - size // 3], 4
        )
        assert (np.diff(margins) <= 0).all()


def test_threshold_is_the_best_of_all_cuts() -> None:
    random = Random(5)
    for _ in range(300):
        margins = sorted(
            (random.randint(0, 8) / 4 for _ in range(random.randint(1, 15))), reverse=True
        )
        right = [random.random() < 0.5 for _ in margins]
        num_gold = sum(right) + random.randint(0, 3) or 1
        threshold, best = best_threshold(margins, right, num_gold)
        cuts = [sum(margin >= cut for margin in margins) for cut in margins]
        f1s = [2 * sum(right[:count]) / (count + num_gold) for count in cuts]
        assert best == pytest.approx(max(f1s))
        kept = [
            is_right for margin, is_right in zip(margins, right, strict=True) if margin >= threshold
        ]
        assert 2 * sum(kept) / (len(kept) + num_gold) == pytest.approx(best)


def test_threshold_of_pairs_that_are_all_wrong_is_above_them() -> None:
    assert best_threshold([1.2, 1.1], [False, False], 5) == (float("inf"), 0.0)
    with pytest.raises(ValueError, match="must not increase"):
        best_threshold([1.0, 2.0], [True, True], 2)


def test_mining_f1_equals_sklearn() -> None:
    random = Random(6)
    for _ in range(200):
        names = "abcd"
        mined = [random.sample(names, random.randint(0, 1)) for _ in range(30)]
        gold = [random.sample(names, random.randint(0, 1)) for _ in range(30)]
        ours = aggregate(METRICS["mining_f1"](mined, gold, ""))
        flat = [[name in one for one in side for name in names] for side in (gold, mined)]
        precision, recall, f1, _ = precision_recall_fscore_support(
            *flat, average="binary", zero_division=0
        )
        assert list(ours.values()) == pytest.approx([f1, precision, recall], abs=1e-12)
