"""Exact nearest neighbours in bounded memory, on any device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

QUERY_BLOCK = {"cuda": 8192, "cpu": 1024}
"""Queries scored at a time."""
SCORE_BLOCK = {"cuda": 2**26, "cpu": 2**23}
"""Scores held at a time (32 MiB of float32 on a CPU).

Where every score is a new best, the peak is about ten times that.
"""


def unit_rows(vectors: Tensor) -> Tensor:
    """Rows scaled to length 1 in float32, n x d; rows of zeros stay zeros.

    A dot product of two is their cosine.
    """
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def top_k(
    queries: Tensor, candidates: Callable[[int, int], Tensor], count: int, k: int
) -> tuple[Tensor, Tensor]:
    """The k candidates of largest dot product for each query: scores and indices.

    Both have the shape (num_queries, min(k, count)), best first; of equal scores the lower index
    comes first. Candidates are read block by block. ValueError for shapes that do not fit and for
    scores that are not numbers.

    Args:
        queries: n x d, float32.
        candidates: (start, stop) → those of them, m x d.
        count: How many candidates there are.
        k: How many are wanted.
    """
    if k < 1 or not count:
        raise ValueError(f"cannot find {k} of {count} candidates")
    k, size = min(k, count), QUERY_BLOCK[queries.device.type]
    parts = [
        _block(queries[at : at + size], candidates, count, k) for at in range(0, len(queries), size)
    ]
    if not parts:
        return queries.new_empty((0, k)), queries.new_empty((0, k), dtype=torch.long)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def best_of(scores: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of each row, as `top_k` orders them. scores, indices: n x m."""
    order = indices.argsort(dim=1, stable=True)
    order = order.gather(1, scores.gather(1, order).argsort(dim=1, descending=True, stable=True))
    return scores.gather(1, order[:, :k]), indices.gather(1, order[:, :k])


def _block(
    queries: Tensor, candidates: Callable[[int, int], Tensor], count: int, k: int
) -> tuple[Tensor, Tensor]:
    """`top_k` of one block of queries, n x d: scores and indices, n x k.

    Candidates are taken in blocks of doubling size: after the first, few scores beat the k-th best
    so far.
    """
    limit = max(k, SCORE_BLOCK[queries.device.type] // len(queries))
    end = min(max(k, 256), count)
    scores = _scores(queries, candidates(0, end))
    indices = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    best = scores.gather(1, indices)
    while end < count:
        begin, end = end, min(count, end + min(end, limit))
        scores = _scores(queries, candidates(begin, end))
        # An equal score has a higher index, and loses.
        hits = torch.nonzero((scores > best[:, -1:]).view(-1))[:, 0]
        if len(hits):
            rows = hits.div(end - begin, rounding_mode="floor")
            _merge(best, indices, rows, scores.view(-1)[hits], hits % (end - begin) + begin)
    return best, indices


def _scores(queries: Tensor, candidates: Tensor) -> Tensor:
    """Dot products, n x m, of queries n x d and candidates m x d."""
    if queries.dim() != 2 or candidates.dim() != 2 or queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"queries {tuple(queries.shape)} and candidates {tuple(candidates.shape)} must be"
            " (n, d) with one d"
        )
    scores = queries @ candidates.T
    if not torch.isfinite(scores.sum(dtype=torch.float64)):
        raise ValueError("a similarity is not a finite number: look for NaN in the embeddings")
    return scores


def _merge(best: Tensor, indices: Tensor, rows: Tensor, scores: Tensor, found: Tensor) -> None:
    """Put hits (row, score, index), shape (h,) each, into tables n x k, in place."""
    k = best.shape[1]
    touched = rows.unique()
    all_rows = torch.cat([touched.repeat_interleave(k), rows])
    all_scores = torch.cat([best[touched].view(-1), scores])
    all_indices = torch.cat([indices[touched].view(-1), found])
    order = all_indices.argsort(stable=True)
    order = order[all_scores[order].argsort(descending=True, stable=True)]
    order = order[all_rows[order].argsort(stable=True)]
    starts = torch.searchsorted(all_rows[order], touched)
    kept = order[starts[:, None] + torch.arange(k, device=starts.device)]
    best[touched], indices[touched] = all_scores[kept], all_indices[kept]
