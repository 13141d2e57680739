"""A study staged, run and read in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scaling.engine import World
from scaling.pending import pending_steps
from scaling.placing import placements
from scaling.plan import Plan, make_plan
from scaling.runner import run_steps
from scaling.staging import stage
from scaling.store import Store
from scaling.study import Study


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
