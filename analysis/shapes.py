"""MCP-Mod: does the gain change with scale in a straight line, or in any other shape on the list?

Bretz, Pinheiro & Branson 2005. Each candidate shape gives one optimal contrast of the size means;
the largest is compared with the distribution of the maximum under no change.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.noise import TAIL, posterior
from analysis.panel import Array, TooFewScales
from analysis.slope import moments

DRAWS = 10_000
"""Of the null distribution; Monte-Carlo error of a p-value near .05 is .002."""


@dataclass(frozen=True, kw_only=True)
class ShapeTest:
    """The test of every candidate shape, and which of them is the best."""

    names: tuple[str, ...]
    statistics: Array
    """Contrast of each shape over its typical standard error, [..., shape]; negative = falls."""
    p: Array
    """Of the largest of them, adjusted for the number of shapes, [...]."""
    best: Array
    """Index of the shape with the largest statistic, [...]."""


def candidates(x: Array) -> dict[str, Array]:
    """Shapes over sizes, each 0 at the smallest and 1 at the largest.

    Linear, two powers, steps in the upper half.

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
    """The test over replica values r[..., size, seed].

    Contrast of shape μ: c_n ∝ S_n(μ_n − μ̄), as for equal variances. Its null distribution is drawn
    under the noise that the study shows (analysis/noise.py): a shape of variances by its
    probability, a level given it, and the means' errors, so that unequal variances and seeds are
    part of it. TooFewScales below three sizes, where every shape is the same; ValueError where a
    size lacks a second replica.
    """
    if len(x) < 3:
        raise TooFewScales(f"Shapes of change need three sizes; there are {len(x)}.")
    count, mean, variance = moments(r)
    if (count < 2).any():
        raise ValueError("The shape test needs two replicas at every size.")
    lead = r.shape[:-2]
    shapes = candidates(x)
    names, profiles = tuple(shapes), np.array(list(shapes.values()))
    rows = zip(
        count.reshape(-1, len(x)),
        mean.reshape(-1, len(x)),
        variance.reshape(-1, len(x)),
        strict=True,
    )
    statistics, p = zip(*(_one(*row, profiles, x) for row in rows), strict=True)
    return ShapeTest(
        names=names,
        statistics=np.array(statistics).reshape(*lead, -1),
        p=np.array(p).reshape(lead),
        best=np.abs(statistics).argmax(axis=-1).reshape(lead),
    )


def _one(
    count: Array, mean: Array, variance: Array, profiles: Array, x: Array
) -> tuple[Array, float]:
    """Statistics of all shapes in one study, and the p-value of the largest."""
    contrasts = _contrasts(profiles, count)
    weight, level, df, v = posterior(count, variance, x)
    # Squared standard error of every contrast given every shape of the noise.
    given = level[:, None] * (v / count) @ (contrasts**2).T
    if not (given > 0).all():
        return np.zeros(len(contrasts)), 1.0 if np.ptp(mean) == 0 else 0.0
    typical = np.exp(0.5 * weight @ np.log(given))
    statistics = contrasts @ mean / typical
    uniform, chi2, normal = _draws(float(df), len(x))
    which = np.searchsorted(np.cumsum(weight), uniform).clip(max=len(weight) - 1)
    sd = np.sqrt(level[which, None] * v[which] / count * (df / chi2)[:, None])
    null = np.abs((normal * sd) @ contrasts.T / typical).max(axis=1)
    return statistics, float(min((null >= np.abs(statistics).max()).mean() / TAIL, 1.0))


def _contrasts(shapes: Array, seeds: Array) -> Array:
    centred = shapes - (shapes @ seeds / seeds.sum())[:, None]
    raw = seeds * centred
    return np.asarray(raw / np.sqrt((raw**2).sum(axis=1, keepdims=True)))


@lru_cache(maxsize=32)
def _draws(df: float, num_sizes: int) -> tuple[Array, Array, Array]:
    """Uniform, χ² and normal draws that every test shares; seeded."""
    rng = np.random.default_rng(0)
    return (
        rng.random(DRAWS),
        rng.chisquare(df, size=DRAWS),
        rng.standard_normal((DRAWS, num_sizes)),
    )
