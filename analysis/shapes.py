"""MCP-Mod: does the gain change with scale in a straight line, or in any other shape on the list?

Bretz, Pinheiro & Branson 2005. Each candidate shape gives one optimal contrast of the size means;
the largest |t| is compared with the distribution of the maximum of correlated t statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.panel import Array, TooFewScales
from analysis.slope import moments

DRAWS = 100_000
"""Of the null distribution of max |t|; Monte-Carlo error of a p-value near .05 is .0007."""


@dataclass(frozen=True, kw_only=True)
class ShapeTest:
    names: tuple[str, ...]
    statistics: Array
    """t of each shape, [..., shape]; negative = the gain falls."""
    p: Array
    """Of max |t|, adjusted for the number of shapes, [...]."""
    best: Array
    """Index of the shape with the largest |t|, [...]."""
    critical: float
    """Of max |t| at 5 %."""
    df: int


def candidates(x: Array) -> dict[str, Array]:
    """Shapes over sizes, each 0 at the smallest and 1 at the largest: linear, two powers, steps in
    the upper half.

    Duplicates (all shapes are one with two sizes) are left out.
    """
    u = (x - x[0]) / (x[-1] - x[0])
    shapes = {"linear in log scale": u, "early change": u**0.5, "late change": u**1.5}
    for first in range(max(len(x) // 2, 1), len(x)):
        shapes[f"step at size {first + 1}"] = (np.arange(len(x)) >= first).astype(float)
    kept: dict[str, Array] = {}
    for name, shape in shapes.items():
        same = [np.corrcoef(shape, other)[0, 1] > 1 - 1e-9 for other in kept.values()]
        if not any(same):
            kept[name] = shape
    return kept


def shape_test(r: Array, x: Array) -> ShapeTest:
    """The test over replica values r[..., size, seed]; every size must have a replica.

    Contrast of shape μ: c_n ∝ S_n(μ_n − μ̄), pooled variance. TooFewScales below three sizes, where
    every shape is the same; ValueError where no size has two replicas.
    """
    if len(x) < 3:
        raise TooFewScales(f"Shapes of change need three sizes; there are {len(x)}.")
    count, mean, variance = moments(r)
    seeds = count.reshape(-1, len(x))[0]
    if not (count == seeds).all():
        # Contrasts and their null distribution are cached by the counts: one study at a time where
        # they differ.
        parts = [shape_test(row, x) for row in r.reshape(-1, *r.shape[-2:])]
        lead = r.shape[:-2]
        return ShapeTest(
            names=parts[0].names,
            statistics=np.array([p.statistics for p in parts]).reshape(*lead, -1),
            p=np.array([p.p for p in parts]).reshape(lead),
            best=np.array([p.best for p in parts]).reshape(lead),
            critical=float("nan"),
            df=-1,
        )
    df = int((seeds - 1).sum())
    if df < 1 or (seeds < 1).any():
        raise ValueError(
            "The shape test needs replicas at every size; the counts are"
            f" {seeds.astype(int).tolist()}."
        )
    shapes = candidates(x)
    contrasts = _contrasts(np.array(list(shapes.values())), seeds)
    pooled = np.where(seeds > 1, variance * (seeds - 1), 0.0).sum(axis=-1) / df
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = (
            mean @ contrasts.T / np.sqrt(pooled[..., None] * (contrasts**2 / seeds).sum(axis=1))
        )
    largest = np.abs(statistics).max(axis=-1)
    null = _null(tuple(map(tuple, contrasts.tolist())), tuple(seeds.tolist()), df)
    p = 1 - np.searchsorted(null, largest, side="left") / len(null)
    return ShapeTest(
        names=tuple(shapes),
        statistics=statistics,
        p=np.asarray(p),
        best=np.abs(statistics).argmax(axis=-1),
        critical=float(np.quantile(null, 0.95)),
        df=df,
    )


def _contrasts(shapes: Array, seeds: Array) -> Array:
    centred = shapes - (shapes @ seeds / seeds.sum())[:, None]
    raw = seeds * centred
    return np.asarray(raw / np.sqrt((raw**2).sum(axis=1, keepdims=True)))


@lru_cache(maxsize=32)
def _null(contrasts: tuple[tuple[float, ...], ...], seeds: tuple[float, ...], df: int) -> Array:
    """Sorted draws of max |t| under no change."""
    rng = np.random.default_rng(0)
    c, s = np.array(contrasts), np.array(seeds)
    means = rng.standard_normal((DRAWS, len(s))) / np.sqrt(s)
    spread = np.sqrt(rng.chisquare(df, size=DRAWS) / df)
    t = means @ c.T / np.sqrt((c**2 / s).sum(axis=1)) / spread[:, None]
    return np.sort(np.abs(t).max(axis=1))
