"""A check of learning rates: English dev scores by size and rate, from a store. Every size had the
same trials.

One rate serves all sizes of a study: the one whose English dev score is best on average over the
sizes. What a size would gain by a rate of its own is shown beside it, and whether that is more than
noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from scaling.store.store import Store
from scaling.study.steps import Plan


@dataclass(frozen=True, kw_only=True)
class RateScore:
    """Trials of one task at one size and rate."""

    task: str
    model: str
    rate: float
    scores: tuple[float, ...]
    """English dev, 0..1, one per seed that is done."""
    error: float
    """Standard error of their mean from the number of dev examples alone."""
    collapsed: int
    planned: int

    @property
    def score(self) -> float:
        return mean(self.scores)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The rate of a task."""

    task: str
    rate: float
    is_edge: bool
    """Nothing was tried on one side of it."""
    own: dict[str, tuple[float, float, float]]
    """Size → its own best rate, by how much it is better there than the shared one, standard error
    of that.
    """


def rate_scores(plan: Plan, store: Store) -> list[RateScore]:
    """By task, model and rate, in the study's order."""
    trials: dict[tuple[str, str, float], list[str]] = {}
    for step in plan.steps.values():
        trials.setdefault((step.task, step.model, step.recipe.learning_rate), []).append(step.id)
    done = store.scan().done
    found = []
    study = plan.study
    order = {name: at for at, name in enumerate([*study.trained_tasks, *study.models])}
    for (task, model, rate), steps in sorted(
        trials.items(), key=lambda item: (order[item[0][0]], order[item[0][1]])
    ):
        trainings = [store.record(step).training for step in steps if step in done]
        kept = [one for one in trainings if one is not None]
        judged = [
            (one.dev_score, one.dev_n) for one in kept if one.dev_score is not None and one.dev_n
        ]
        scores = tuple(score for score, _ in judged)
        error = math.sqrt(sum(score * (1 - score) / n for score, n in judged)) / max(1, len(judged))
        found.append(
            RateScore(
                task=task,
                model=model,
                rate=rate,
                scores=scores,
                error=error,
                planned=len(steps),
                collapsed=sum(one.collapsed for one in kept),
            )
        )
    return found


def choose(scores: Sequence[RateScore]) -> list[Choice]:
    """One rate per task whose trials are all done: budgets are equal only then."""
    choices = []
    for task in dict.fromkeys(one.task for one in scores):
        mine = [one for one in scores if one.task == task]
        if any(len(one.scores) < one.planned for one in mine):
            continue
        rates = sorted({one.rate for one in mine})
        by_rate = {rate: mean(one.score for one in mine if one.rate == rate) for rate in rates}
        shared = max(rates, key=lambda rate: (by_rate[rate], -rate))
        own = {}
        for model in dict.fromkeys(one.model for one in mine):
            here = {one.rate: one for one in mine if one.model == model}
            best = max(here.values(), key=lambda one: (one.score, -one.rate))
            error = math.hypot(best.error, here[shared].error) if best.rate != shared else 0.0
            own[model] = (best.rate, best.score - here[shared].score, error)
        choices.append(
            Choice(task=task, rate=shared, is_edge=shared in (rates[0], rates[-1]), own=own)
        )
    return choices


def rate_lines(choices: Sequence[Choice]) -> list[str]:
    """What the choice rests on, in words."""
    lines = []
    for choice in choices:
        if choice.is_edge:
            lines.append(
                f"{choice.task}: {choice.rate:g} is at the edge of the rates tried; try more"
                " beyond it"
            )
        for model, (rate, gain, error) in choice.own.items():
            if gain > 0:
                verdict = "more than noise" if gain > 2 * error else "within noise"
                lines.append(
                    f"{choice.task}: {model} alone would take {rate:g}, {100 * gain:.1f} points"
                    f" better there (standard error {100 * error:.1f}): {verdict}"
                )
    return lines


def recipe_lines(choices: Sequence[Choice]) -> list[str]:
    """YAML for the study."""
    return (
        ["recipes:", *(f"  {one.task}: {{learning_rate: {one.rate:.1e}}}" for one in choices)]
        if choices
        else []
    )
