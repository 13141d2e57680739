"""In which order a training sees its examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling.data.features import Features
from scaling.study.mixture import language_counts, num_updates
from scaling.study.recipes import Recipe

# Batches are cut from pools of so many, as Hugging Face's grouping by length does: long enough to
# sort lengths well, short enough to stay a random order. Whoever changes what is drawn raises
# ORDER_VERSION in scaling/study/plan.py.
_POOL = 50


def sampled_order(
    features: Features, sizes: Sequence[int], exponent: float, updates: int, batch: int, seed: int
) -> list[np.ndarray]:
    """Units of every update where languages are sampled: `sizes` units of each language, one behind
    the other.

    Exact: of all that is drawn, each language has its share by largest remainder; inside it every
    unit comes equally often, give or take one. Lengths are sorted as in `training_order`.
    """
    rng = np.random.default_rng([seed, 40_071_3])
    drawn = []
    counts = language_counts(updates * batch, sizes, exponent)
    for start, size, count in zip(np.cumsum([0, *sizes[:-1]]), sizes, counts, strict=True):
        rounds = [rng.permutation(size) for _ in range(-(-count // size))]
        drawn.append(
            start + np.concatenate([np.zeros(0, np.int64), *rounds])[:count].astype(np.int64)
        )
    units = rng.permutation(np.concatenate(drawn))
    lengths = _unit_lengths(features)
    return _by_length(units, lengths, batch, rng)


def _by_length(
    units: np.ndarray, lengths: np.ndarray, batch: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Full batches of units: pools are sorted by length and cut, and the order of their batches is
    drawn.
    """
    order: list[np.ndarray] = []
    for start in range(0, len(units), _POOL * batch):
        pool = units[start : start + _POOL * batch]
        pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch)
        order += list(pool[rng.permutation(len(pool))])
    return order


def _unit_lengths(features: Features) -> np.ndarray:
    """Of each unit, its longest sequence."""
    lengths = np.zeros(features.num_units, dtype=np.int64)
    # Units of -1 are scored only.
    trained = features.units >= 0
    np.maximum.at(lengths, features.units[trained], features.lengths[trained])
    return lengths


def training_order(
    features: Features, recipe: Recipe, seed: int, updates: int | None = None
) -> list[np.ndarray]:
    """Units of every update: as many as the recipe's epochs give, or `updates`. Depends on data,
    recipe and seed alone.

    Each epoch is a permutation; what does not fill its last batch opens the next epoch, with units
    that are not in it yet. Pools of updates are sorted by length and cut into batches, whose order
    is then shuffled: padding falls to a few per cent while every example keeps its place in the
    epoch.
    """
    rng = np.random.default_rng([seed, 20_051_3013])
    num, batch = features.num_units, recipe.batch
    updates = num_updates(num, recipe) if updates is None else updates
    lengths = _unit_lengths(features)
    order: list[np.ndarray] = []
    left = np.zeros(0, dtype=np.int64)
    while len(order) < updates:
        epoch = rng.permutation(num)
        if len(left):
            # Units that the batch has already come last: a batch holds one twice only if there are
            # too few.
            epoch = np.concatenate([epoch[~np.isin(epoch, left)], epoch[np.isin(epoch, left)]])
            first, epoch = np.concatenate([left, epoch])[:batch], epoch[max(0, batch - len(left)) :]
            if len(first) < batch:
                left = first
                continue
            order.append(first)
        full = len(epoch) // batch * batch
        order += _by_length(epoch[:full], lengths, batch, rng)
        left = epoch[full:]
    return order[:updates]
