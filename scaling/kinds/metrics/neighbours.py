"""Exact nearest neighbours in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUERY_BLOCK = 1024
"""Queries scored at a time."""
SCORE_BLOCK = 8_388_608
"""Scores held at a time (32 MiB of float32).

Where every score is a new best, the peak is about ten times that.
"""


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length 1, a copy of shape (n, d); rows of zeros stay zeros.

    A dot product of two is their cosine.
    """
    vectors = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=vectors, where=lengths > 0)


def top_k(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k candidates of largest dot product for each query: scores and indices.

    Both have the shape (num_queries, min(k, num_candidates)), best first; of equal scores the lower
    index comes first. `candidates` may be a memory map: it is read block by block. Raises
    ValueError for shapes that do not fit and for scores that are not numbers.
    """
    if queries.ndim != 2 or candidates.ndim != 2 or queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"queries {queries.shape} and candidates {candidates.shape} must be (n, d) with one d"
        )
    if k < 1 or not len(candidates):
        raise ValueError(f"cannot find {k} of {len(candidates)} candidates")
    k = min(k, len(candidates))
    parts = [
        _block(queries[at : at + QUERY_BLOCK], candidates, k)
        for at in range(0, len(queries), QUERY_BLOCK)
    ]
    if not parts:
        return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _block(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`top_k` of one block of queries, shape (n, d): scores and indices, shape (n, k).

    Candidates are taken in blocks of doubling size: after the first, few scores beat the k-th best
    so far.
    """
    limit = max(k, SCORE_BLOCK // len(queries))
    end = min(max(k, 256), len(candidates))
    scores = _scores(queries, candidates[:end])
    indices = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, indices, axis=1)
    while end < len(candidates):
        begin, end = end, min(len(candidates), end + min(end, limit))
        scores = _scores(queries, candidates[begin:end])
        hits = np.flatnonzero(scores > best[:, -1:])  # an equal score has a higher index, and loses
        if len(hits):
            rows, columns = np.divmod(hits, end - begin)
            _merge(best, indices, rows, scores.ravel()[hits], columns + begin)
    return best, indices


def _scores(queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products, shape (n, m), of queries (n, d) and candidates (m, d)."""
    scores = queries @ np.asarray(candidates, dtype=np.float32).T
    if not np.isfinite(scores.sum(dtype=np.float64)):
        raise ValueError("a similarity is not a finite number: look for NaN in the embeddings")
    return scores


def _merge(
    best: NDArray[np.float32],
    indices: NDArray[np.int64],
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:
    """Put hits (row, score, index), shape (h,) each, into tables of shape (n, k), in place."""
    k = best.shape[1]
    touched = np.unique(rows)
    all_rows = np.concatenate([np.repeat(touched, k), rows])
    all_scores = np.concatenate([best[touched].ravel(), scores])
    all_indices = np.concatenate([indices[touched].ravel(), found])
    order = np.lexsort((all_indices, -all_scores, all_rows))
    starts = np.searchsorted(all_rows[order], touched)
    kept = order[starts[:, None] + np.arange(k)]
    best[touched], indices[touched] = all_scores[kept], all_indices[kept]
