"""Studies with a known truth for `benchmarks.calibration`: arrays of numpy alone.

Nothing here is imported from the analysis, and no rule of it is used: what a rule assumes about
noise, scales or collapse must not be what the data are made of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

X = np.array([8.431, 8.740, 9.544, 10.029])
"""log10 of 270 M, 550 M, 3.5 B and 10.7 B parameters."""
SPAN = float(X[-1] - X[0])


def rising(ratio: float) -> Array:
    """SDs [size] that rise by `ratio` from the smallest to the largest size, log-linear in size."""
    return np.asarray(ratio ** ((X - X[0]) / SPAN))


def replicas(
    rng: np.random.Generator,
    studies: int,
    seeds: tuple[int, ...],
    sds: Array,
    *,
    beta: float = 0.0,
    tails: float | None = None,
) -> Array:
    """r[study, size, seed]: gains of replicas with a true slope `beta`, NaN for seeds not run.

    `tails`: degrees of freedom of Student noise of the same SD; None: normal.
    """
    shape = (studies, len(X), max(seeds))
    noise = (
        rng.standard_normal(shape)
        if tails is None
        else rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2))
    )
    r = 2.0 + beta * (X - X.mean())[:, None] + noise * sds[:, None]
    for size, num in enumerate(seeds):
        r[:, size, num:] = np.nan
    return np.asarray(r)


def languages(
    rng: np.random.Generator,
    studies: int,
    seeds: tuple[int, ...],
    sds: Array,
    *,
    num: int,
    shared: float = 0.25,
    spread: float = 0.0,
) -> tuple[Array, Array]:
    """r[study, language, size, seed] and true slopes [study, language]: `shared` of the variance is
    that of the run, slopes have SD `spread` around 0.
    """
    run = replicas(rng, studies, seeds, sds)[:, None] - 2.0
    own = replicas(rng, studies * num, seeds, sds).reshape(studies, num, len(X), -1) - 2.0
    true = rng.normal(0, spread, (studies, num)) if spread else np.zeros((studies, num))
    r = np.sqrt(shared) * run + np.sqrt(1 - shared) * own
    return r + true[..., None, None] * (X - X.mean())[:, None], true


def scores(
    rng: np.random.Generator,
    studies: int,
    seeds: int,
    sd: float,
    *,
    scale: str,
    gains: Array,
    baselines: Array,
    chance: float,
    ceiling: float,
    examples: int = 2000,
    languages: int = 8,
) -> tuple[Array, Array]:
    """Scores (0..1) with and without phase ii, each [study, size, seed, language].

    The true gain is `gains` [size] on `scale`: `points` (0..100), `logit`, or `room`, log odds of
    (p − chance)/(ceiling − chance). Runs have SD `sd` in points, shared by their languages; every
    score is a share of `examples` drawn anew. `baselines` [size] are true scores.
    """
    width = ceiling - chance
    offset = np.linspace(-0.03, 0.03, languages)
    before = baselines[:, None] + offset
    if scale == "points":
        after = before + gains[:, None] / 100
    elif scale == "logit":
        after = _expit(_logit(before) + gains[:, None])
    else:
        after = chance + width * _expit(_logit((before - chance) / width) + gains[:, None])
    out = []
    for truth in (after, before):
        run = rng.normal(0, sd / 100, (studies, len(X), seeds, 1))
        p = np.clip(truth[:, None, :] + run, 0.001, 0.999)
        out.append(rng.binomial(examples, p) / examples)
    return out[0], out[1]


def _logit(p: Array) -> Array:
    return np.asarray(np.log(p / (1 - p)))


def _expit(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def collapsing(
    rng: np.random.Generator,
    studies: int,
    *,
    seeds: int,
    targets: int,
    arms: int,
    rates: Array,
    full: float,
    chance: float,
    slopes: Array,
    drop: float = 15.0,
    num_languages: int = 4,
) -> tuple[Array, Array, Array]:
    """Scores in points [study, size, seed, target, 1 + arms, language], English dev (0..1) without
    the last axis, and which runs collapsed and how: 0, 1 (partly) or 2 (to guessing).

    `rates` [size, 1 + arms]: chance of a collapse; of these `full` fall to guessing, the others
    lose `drop` points. `slopes` [arm]: true slopes of the gains.
    """
    shape = (studies, len(X), seeds, targets, 1 + arms)
    hit = rng.random(shape) < rates[:, None, None, :]
    dead = np.where(hit, np.where(rng.random(shape) < full, 2, 1), 0)
    gain = np.concatenate([[0.0], np.ones(arms)])[None, :] * 2.0
    gain = gain + (X - X.mean())[:, None] * np.concatenate([[0.0], slopes])
    healthy = 70 + gain[:, None, None, :] + 0.7 * rng.standard_normal(shape)
    guess = 100 * chance + 1.0 + 0.5 * rng.standard_normal(shape)
    run = np.where(dead == 2, guess, np.where(dead == 1, healthy - drop, healthy))
    dev = np.where(dead == 2, guess, 80 - np.where(dead == 1, drop, 0))
    dev = (dev + 0.8 * rng.standard_normal(shape)) / 100
    score = run[..., None] + 0.7 * rng.standard_normal((*shape, num_languages))
    return score, np.clip(dev, 0, 1), dead
