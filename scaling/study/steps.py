"""What a plan is made of: steps, cells and the plan itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from scaling.study.identity import Lock
from scaling.study.mixture import Mixture
from scaling.study.recipes import Recipe
from scaling.study.study import Study

Phase = Literal["ii", "iii", "eval"]


RERUN_SEEDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Step:
    """One training, or one scoring of a checkpoint on a task: what is executed and cached."""

    id: str
    """Readable; ends in the fingerprint. Also the step's folder in the store."""
    fingerprint: str
    identity: Mapping[str, Any]
    action: Literal["train", "eval"]
    phase: Phase
    model: str
    arm: str
    task: str
    seed: int | None
    """None for scoring weights that were never trained."""
    rerun: int = 0
    """How many times the same training collapsed before; each time with a new seed."""
    parent: str | None
    """Step whose weights this one starts from; None: the pretrained model."""
    recipe: Recipe
    staged: str
    """Name of the staged model that the tokenizer, and without a parent the weights, come from."""
    mixture: Mixture
    """What is trained on, or scored: `task` comes first."""
    updates_like: tuple[str, ...] = ()
    """Take as many updates as these trainings together, instead of what the recipe's epochs
    give.
    """
    random_init: int | None = None
    """Seed of random weights in the place of the pretrained ones."""
    transliterate: Mapping[str, str] = field(default_factory=dict)
    """Language → table of the study."""

    @property
    def training_seed(self) -> int:
        """What everything random is drawn from; a re-run has one that no study counts to."""
        return (self.seed or 0) + RERUN_SEEDS * self.rerun


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The unit that a reader of the report thinks in."""

    model: str
    arm: str
    target: str
    seed: int
    intermediate: tuple[str, ...]
    """Ids of the phase-ii trainings."""
    trained: tuple[str, ...]
    """Ids of the phase-iii trainings."""
    scored: str
    """Id of the eval step."""
    rerun: int = 0
    """Re-runs in this chain of trainings: 0 for the first runs; the highest is the one that
    converged, if any did.
    """
    same_data: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study's cells and the steps that they need, with what is known of collapsed trainings.

    No cells where learning rates are compared.
    """

    study: Study
    lock: Lock
    cells: tuple[Cell, ...]
    steps: Mapping[str, Step]
    """By id, parents first."""
    collapsed: frozenset[str] = frozenset()
    """Trainings that are known to have collapsed: what the re-runs in this plan are for."""
    replaceable: frozenset[str] = frozenset()
    """Trainings that get a re-run if they collapse, from which everything below then starts."""

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        below: dict[str, list[str]] = {step: [] for step in self.steps}
        for step in self.steps.values():
            if step.parent is not None:
                below[step.parent].append(step.id)
        return below

    def children_of(self, step: str) -> list[str]:
        """The steps that start from this one's weights."""
        return self._children[step]

    @property
    def models(self) -> list[str]:
        """The study's models that have a step here: all, unless it is a part of a plan."""
        there = {step.model for step in self.steps.values()}
        return [name for name in self.study.models if name in there]

    @property
    def provisional(self) -> bool:
        """Whether some hash is still unknown, because the study was not staged."""
        return any("provisional" in str(step.identity) for step in self.steps.values())
