"""Mined pairs and their threshold."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from scaling.kinds.metrics import METRICS, aggregate
from scaling.kinds.metrics.mining import NEIGHBOURS, best_threshold, mine
from tests.helpers.vectors import vectors_of


def mined_slowly(queries: np.ndarray, candidates: np.ndarray, k: int) -> list[tuple[int, int]]:
    """Margin mining from its definition, with full similarity matrices."""
    x, y = (one.astype(np.float64) for one in (queries, candidates))
    x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, y))
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


def nearest(queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = vectors_of([one[None] for one in (*queries, *candidates)])
    numbers = np.split(np.arange(len(queries) + len(candidates)), [len(queries)])
    return both.nearest(numbers[0], numbers[1], NEIGHBOURS, 0)


def test_mining_equals_its_definition() -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        size = int(random.integers(2, 40))
        queries = random.standard_normal((size, 8)).astype(np.float32) + 0.5
        candidates = (queries + 0.5 * random.standard_normal((size, 8))).astype(np.float32)[
            random.permutation(size)
        ]
        candidates = candidates[: size - size // 3]
        found, margins = mine(nearest(queries, candidates), nearest(candidates, queries))
        assert [tuple(pair) for pair in found.tolist()] == mined_slowly(queries, candidates, 4)
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
