"""In which order a training sees its examples: at random, whatever their lengths.

No update is made of examples of one length: each is divided by its own number of terms, so a token
would count the more, the shorter the sentences around it. How an update is cut into passes by
length is execution (`scaling.data.batching`). Whoever changes what is drawn raises ORDER_VERSION
in scaling/study/plan.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling.study.mixture import language_counts, num_updates
from scaling.study.recipes import Recipe

# Any numbers would do; they are part of every training's bits.
SALT_SAMPLED = 40_071_3
SALT_EPOCHS = 20_051_3013


def sampled_order(
    sizes: Sequence[int], exponent: float, updates: int, batch: int, seed: int
) -> list[np.ndarray]:
    """Units of every update where languages are sampled, each an array of shape (batch,).

    Exact: of all that is drawn, each language has its share by largest remainder; inside it every
    unit comes equally often, give or take one.

    Args:
        sizes: Units of each language; they are numbered one language behind the other.
        exponent: A language's share is in proportion to its size to this power.
        updates: How many updates there are.
        batch: Units of an update.
        seed: What the order depends on besides.
    """
    if 0 in sizes:
        raise ValueError(f"a language without an example that can train, of sizes {list(sizes)}")
    rng = np.random.default_rng([seed, SALT_SAMPLED])
    drawn = []
    counts = language_counts(updates * batch, sizes, exponent)
    for start, size, count in zip(np.cumsum([0, *sizes[:-1]]), sizes, counts, strict=True):
        rounds = [rng.permutation(size) for _ in range(-(-count // size))]
        drawn.append(
            start + np.concatenate([np.zeros(0, np.int64), *rounds])[:count].astype(np.int64)
        )
    return list(rng.permutation(np.concatenate(drawn)).reshape(updates, batch))


def training_order(
    num_units: int, recipe: Recipe, seed: int, updates: int | None = None
) -> list[np.ndarray]:
    """Units of every update, each an array of shape (batch,).

    Each epoch is a permutation; what does not fill its last update opens the next epoch, with units
    that are not in it yet. ValueError if there is nothing to draw from.

    Args:
        num_units: Units that there are to draw from.
        recipe: Its batch, and its epochs.
        seed: What the order depends on besides.
        updates: How many there are; None for what the recipe's epochs give.
    """
    if num_units == 0:
        raise ValueError("no example can train")
    rng = np.random.default_rng([seed, SALT_EPOCHS])
    batch = recipe.batch
    updates = num_updates(num_units, recipe) if updates is None else updates
    order: list[np.ndarray] = []
    left = np.zeros(0, dtype=np.int64)
    while len(order) < updates:
        epoch = rng.permutation(num_units)
        if len(left):
            # Units that the update has already come last: an update holds one twice only if there
            # are too few.
            epoch = np.concatenate([epoch[~np.isin(epoch, left)], epoch[np.isin(epoch, left)]])
            first, epoch = np.concatenate([left, epoch])[:batch], epoch[max(0, batch - len(left)) :]
            if len(first) < batch:
                left = first
                continue
            order.append(first)
        full = len(epoch) // batch * batch
        order += list(epoch[:full].reshape(-1, batch))
        left = epoch[full:]
    return order[:updates]
