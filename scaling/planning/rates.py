"""A check of learning rates: English dev scores by size and rate, from a store.

Every size has the same trials. One rate serves all sizes of a study: the one whose English dev
score is best on average over the sizes. What a size would gain by a rate of its own is shown beside
it, and whether that is more than noise.
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
        """Mean over the seeds that are done."""
        return mean(self.scores)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The rate of a task."""

    task: str
    rate: float
    is_edge: bool
    """Nothing was tried on one side of it."""
    own: dict[str, tuple[float, float, float]]
    """Size → its own best rate, what it gains there (0..1), and the standard error of that."""


def rate_scores(plan: Plan, store: Store) -> list[RateScore]:
    """By task, model and rate, in the study's order."""
    trials: dict[tuple[str, str, float], list[str]] = {}
    for step in plan.steps.values():
        trials.setdefault((step.task, step.model, step.recipe.learning_rate), []).append(step.id)
    done = store.scan().done
    scores_by_rate = []
    study = plan.study
    order = {name: at for at, name in enumerate([*study.trained_tasks, *study.models])}
    for (task, model, rate), steps in sorted(
        trials.items(), key=lambda item: (order[item[0][0]], order[item[0][1]])
    ):
        trainings = [store.record(step).training for step in steps if step in done]
        done_trainings = [training for training in trainings if training is not None]
        judged = [
            (training.dev_score, training.dev_n)
            for training in done_trainings
            if training.dev_score is not None and training.dev_n
        ]
        scores = tuple(score for score, _ in judged)
        error = math.sqrt(sum(score * (1 - score) / n for score, n in judged)) / max(1, len(judged))
        scores_by_rate.append(
            RateScore(
                task=task,
                model=model,
                rate=rate,
                scores=scores,
                error=error,
                planned=len(steps),
                collapsed=sum(training.collapsed for training in done_trainings),
            )
        )
    return scores_by_rate


def choose(scores: Sequence[RateScore]) -> list[Choice]:
    """One rate per task whose trials are all done: budgets are equal only then."""
    choices = []
    for task in dict.fromkeys(trial.task for trial in scores):
        of_task = [trial for trial in scores if trial.task == task]
        if any(len(trial.scores) < trial.planned for trial in of_task):
            continue
        rates = sorted({trial.rate for trial in of_task})
        by_rate = {
            rate: mean(trial.score for trial in of_task if trial.rate == rate) for rate in rates
        }
        shared = max(rates, key=lambda rate: (by_rate[rate], -rate))
        own = {}
        for model in dict.fromkeys(trial.model for trial in of_task):
            of_size = {trial.rate: trial for trial in of_task if trial.model == model}
            best = max(of_size.values(), key=lambda trial: (trial.score, -trial.rate))
            error = math.hypot(best.error, of_size[shared].error) if best.rate != shared else 0.0
            own[model] = (best.rate, best.score - of_size[shared].score, error)
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
