"""A study staged, run and read in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.encoders.world import World
from scaling.planning.placement import placements
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from scaling.training.runner import run_steps
from scaling.training.stage import stage


def staged(content: dict[str, Any], folder: Path) -> tuple[Plan, Store]:
    """The plan of a study whose data and weights were put into a new store."""
    study, store = Study(**content), Store.open(folder)
    return make_plan(study, stage(study, store, None, lambda what: None)), store


def run_all(plan: Plan, store: Store, world: World) -> dict[str, str]:
    """What became of each step that was pending."""
    return dict(
        run_steps(plan, store, pending_steps(plan, store.scan()), world, placements(plan, None))
    )


def science(plan: Plan, store: Store) -> dict[str, Any]:
    """By step, what a run states about the world: not when, where and how fast it was."""
    return {step: store.record(step).science() for step in plan.steps}
