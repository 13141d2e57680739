"""Mixtures: how many updates each task gets, how many examples each language, in what order.

Exact, not random: shares are apportioned by largest remainder, and only their order is drawn from
the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scaling.catalogue.task import TaskSpec
from scaling.study.arms import MLM_EXPONENT, Arm, Sampling, Text
from scaling.study.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Member:
    """One task of a training."""

    task: str
    languages: tuple[str, ...] = ("en",)
    exponent: float = 1.0
    """Language sampling, where there are several."""
    shuffled_labels: bool = False


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What one training trains on: its first member is the one whose head is kept."""

    members: tuple[Member, ...]
    sampling: Sampling = field(default_factory=Sampling)
    mlm_ratio: float | None = None
    """The last member is masked language modelling, with so many updates for each update of the
    others.
    """


def num_updates(num_units: int, recipe: Recipe) -> int:
    """Updates of a training, each a full global batch: the last epoch is topped up by the next."""
    return max(1, -(-round(num_units * recipe.epochs) // recipe.batch))


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """`total` in whole parts proportional to `weights`, by largest remainder; first wins a tie."""
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

    Args:
        units: training units of each member.
        recipe: its epochs and its batch, in units.
        sampling: the cap and the temperature of a draw from several tasks.
        mlm_ratio: updates of the last member for each of the others; None: it is like the others.
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
    """Which member each update trains, as indices in the order of the updates.

    Tasks come in an order drawn from the seed, masked language modelling evenly between. One member
    per update: its global batch is of one task, so that all ranks run the same head under ZeRO-3.
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


def _text_member(text: Text, tasks: Mapping[str, TaskSpec]) -> Member:
    return Member(
        task=text.task,
        languages=text.languages or tasks[text.task].train_languages,
        exponent=text.exponent,
    )


def _member(arm: Arm, name: str, tasks: Mapping[str, TaskSpec]) -> Member:
    masked = tasks[name].kind == "masked_lm"
    exponent = arm.exponent if arm.exponent is not None else MLM_EXPONENT if masked else 1.0
    return Member(
        task=name,
        languages=arm.languages or (tasks[name].train_languages if masked else ("en",)),
        exponent=exponent,
        shuffled_labels=arm.control == "shuffled-labels",
    )


def mixtures(arm: Arm, tasks: Mapping[str, TaskSpec]) -> list[Mixture]:
    """The trainings of phase ii in order; `with_target` leaves its tasks to phase iii."""
    trainings = [Mixture(members=(_text_member(text, tasks),)) for text in arm.adapt]
    if arm.with_target:
        return trainings
    beside = (_text_member(arm.mlm, tasks),) if arm.mlm else ()
    ratio = arm.mlm.ratio if arm.mlm else None
    groups = [arm.together] if arm.together else [(name,) for name in arm.train_on]
    for names in groups:
        members = (*(_member(arm, name, tasks) for name in names), *beside)
        trainings.append(Mixture(members=members, sampling=arm.sampling, mlm_ratio=ratio))
    return trainings


def add_target(arm: Arm, trains_on: tuple[str, ...], tasks: Mapping[str, TaskSpec]) -> Mixture:
    """The target's own training tasks and the intermediate ones in one training.

    The target's head is the one that is kept.
    """
    own = [Member(task=name) for name in reversed(trains_on)]
    extra = [_member(arm, name, tasks) for name in arm.intermediate if name not in trains_on]
    return Mixture(members=(*own, *extra), sampling=arm.sampling)


def train_languages(arm: Arm, task: str, tasks: Mapping[str, TaskSpec]) -> set[str]:
    """Languages of a task's training data that an arm reads, in phase ii or with the target."""
    if task not in arm.tasks:
        return set()
    members = [member for mixture in mixtures(arm, tasks) for member in mixture.members]
    members += [_member(arm, name, tasks) for name in arm.intermediate]
    return {code for member in members if member.task == task for code in member.languages}
