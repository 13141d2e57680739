"""The arithmetic of mixtures: how many updates each task gets, how many examples each language, and
in what order.

Exact, not random: shares are apportioned by largest remainder, and only their order is drawn from
the seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling.study.arms import Sampling
from scaling.study.recipes import Recipe


def num_updates(num_units: int, recipe: Recipe) -> int:
    """Updates of a training: every one has a full global batch, the last epoch is topped up from
    the next one.
    """
    return max(1, -(-round(num_units * recipe.epochs) // recipe.batch))


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """`total` in whole parts proportional to `weights`, by largest remainder; ties go to the
    earlier part.
    """
    exact = [total * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda at: (-(exact[at] - parts[at]), at))
    for at in by_remainder[: total - sum(parts)]:
        parts[at] += 1
    return parts


def member_updates(
    units: Sequence[int], recipe: Recipe, sampling: Sampling, mlm_ratio: float | None
) -> list[int]:
    """Updates of each member of a mixture, from how many training units it has.

    An epoch of several tasks is min(examples, cap) of each. Masked language modelling, the last
    member where there is a ratio, is added: the others keep the updates that they have without it.
    """
    tasks = units if mlm_ratio is None else units[:-1]
    if len(tasks) == 1:
        updates = [num_updates(tasks[0], recipe)]
    else:
        capped = [min(num, sampling.cap) for num in tasks]
        updates = apportion(
            num_updates(sum(capped), recipe), [num ** (1 / sampling.temperature) for num in capped]
        )
    return updates if mlm_ratio is None else [*updates, max(1, round(mlm_ratio * sum(updates)))]


def schedule(updates: Sequence[int], seed: int, mlm_ratio: float | None) -> list[int]:
    """Which member each update trains: tasks in an order drawn from the seed, masked language
    modelling evenly between.

    One member per update: its global batch is of one task, so that all ranks run the same head
    under ZeRO-3.
    """
    tasks = updates if mlm_ratio is None else updates[:-1]
    drawn = (
        np.random.default_rng([seed, 77_131_072])
        .permutation(np.repeat(np.arange(len(tasks)), tasks))
        .tolist()
    )
    if mlm_ratio is None:
        return drawn
    # Behind each task update, as much as has become due by then.
    due = [updates[-1] * (at + 1) // len(drawn) for at in range(len(drawn))]
    order: list[int] = []
    before = 0
    for member, now in zip(drawn, due, strict=True):
        order += [member, *([len(tasks)] * (now - before))]
        before = now
    return order


def language_counts(total: int, sizes: Sequence[int], exponent: float) -> list[int]:
    """Examples drawn of each language in `total`, in proportion to size ** exponent."""
    return apportion(total, [size**exponent for size in sizes])
