"""Exact nearest neighbours in blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaling.kinds.metrics.neighbours import QUERY_BLOCK, SCORE_BLOCK, top_k


def found(queries: np.ndarray, candidates: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    every = torch.from_numpy(candidates)
    scores, indices = top_k(
        torch.from_numpy(queries), lambda start, stop: every[start:stop], len(every), k
    )
    return scores.numpy(), indices.numpy()


def test_top_k_equals_a_full_sort_with_ties_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUERY_BLOCK, "cpu", 7)
    monkeypatch.setitem(SCORE_BLOCK, "cpu", 900)
    random = np.random.default_rng(0)
    for _ in range(150):
        queries = random.integers(-3, 4, (random.integers(1, 30), 4)).astype(np.float32)
        candidates = random.integers(-3, 4, (random.integers(1, 2000), 4)).astype(np.float32)
        k = int(random.integers(1, 25))
        scores, indices = found(queries, candidates, k)
        every = queries @ candidates.T
        expected = np.argsort(-every, axis=1, kind="stable")[:, :k]
        assert (indices == expected).all()
        assert (scores == np.take_along_axis(every, expected, axis=1)).all()


def test_top_k_on_candidates_that_only_get_better() -> None:
    candidates = np.arange(5000, dtype=np.float32)[:, None]
    _, indices = found(np.ones((3, 1), np.float32), candidates, 4)
    assert indices.tolist() == [[4999, 4998, 4997, 4996]] * 3


def test_top_k_refuses_nan_and_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="NaN"):
        found(np.full((1, 2), np.nan, np.float32), np.ones((3, 2), np.float32), 1)
    with pytest.raises(ValueError, match="one d"):
        found(np.ones((1, 2), np.float32), np.ones((3, 3), np.float32), 1)
    assert found(np.ones((0, 2), np.float32), np.ones((3, 2), np.float32), 2)[1].shape == (0, 2)
