"""Steps on this process group: skip what is done → claim → train or score → commit. The same with and without Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from scaling.deadline import Limit, Watchdog
from scaling.engine import World
from scaling.hardware import Placement
from scaling.lease import Lease, LeaseLost, claim, new_owner
from scaling.plan import Plan, Step
from scaling.records import StepRecord
from scaling.store import Store
from scaling.work import Context, now, score, train

Outcome = Literal["done", "skipped", "taken", "blocked"]


def run_steps(
    plan: Plan,
    store: Store,
    steps: Sequence[str],
    world: World,
    placements: Mapping[str, Placement],
    limits: Mapping[str, Limit] | None = None,
) -> dict[str, Outcome]:
    """Run steps in order; what became of each. A step that passes its limit ends this process (scaling.deadline).

    `skipped`: its record existed. `taken`: somebody else works on it. `blocked`: its parent is not there. An
    exception of a step is noted in the store and then ends this process group's work, so that all ranks agree.
    """
    outcomes: dict[str, Outcome] = {}
    owner = world.from_first(new_owner())
    watchdog = Watchdog()
    with tempfile.TemporaryDirectory() as cache:
        for name in steps:
            step = plan.steps[name]
            context = Context(
                plan=plan, store=store, world=world, placement=placements[step.model], cache=Path(cache), owner=owner,
                alive=watchdog.alive,
            )  # fmt: skip
            with watchdog.watch((limits or {}).get(name), partial(_give_up, step, context)):
                outcomes[name] = _run_step(step, context)
    return outcomes


def _run_step(step: Step, context: Context) -> Outcome:
    lease: Lease | None = None
    decision: Outcome | None = None
    if context.world.rank == 0:
        decision = _already(step, context)
        if decision is None:
            lease = claim(context.store, step.id, context.owner)
            # Somebody may have finished between the first look and the claim.
            decision = "taken" if lease is None else _already(step, context)
    decision = context.world.from_first(decision)
    if decision is not None:
        if lease is not None:
            lease.release()
        return decision
    try:
        record = train(step, context, lease) if step.action == "train" else score(step, context, lease)
        if lease is not None:
            lease.still_ours()
            if step.action == "train":
                context.store.replace(record)
            else:
                context.store.commit(record)
                _drop_weights(step, context)
        context.world.barrier()
    except LeaseLost:
        raise
    except Exception as error:
        # Whichever rank failed says so; the others only see a collective that never ends, until Ray stops them.
        _note(step, context, {"error": f"{type(error).__name__}: {error}"})
        raise
    finally:
        if lease is not None:
            lease.release()
    return "done"


def _note(step: Step, context: Context, reason: Mapping[str, Any]) -> None:
    """Say in the store why this rank's try ended."""
    rank = context.world.rank
    context.store.fail(step, f"{context.owner}-{rank}", {**reason, "at": now(), "rank": rank})


def _give_up(step: Step, context: Context, reason: Mapping[str, Any]) -> None:
    """Before this process ends itself: say why, and leave the step to the next try."""
    _note(step, context, reason)
    if context.world.rank == 0:
        context.store.delete(f"steps/{step.id}/leases/{context.owner}.json")


def _already(step: Step, context: Context) -> Outcome | None:
    store = context.store
    if store.exists(f"steps/{step.id}/record.json"):
        record = store.record(step.id)
        if step.action == "eval" or _weights_there(record, store):
            return "skipped"
    if step.parent is not None:
        if not store.exists(f"steps/{step.parent}/record.json"):
            return "blocked"
        if not _weights_there(store.record(step.parent), store):
            return "blocked"
    return None


def _weights_there(record: StepRecord, store: Store) -> bool:
    return store.exists(f"steps/{record.step}/attempts/{record.provenance.attempt}/weights/manifest.json")


def _drop_weights(step: Step, context: Context) -> None:
    """Delete trained weights that no pending step needs, as the study says."""
    keep = context.plan.study.keep_weights
    parent = step.parent
    while parent is not None:
        above = context.plan.steps[parent]
        if keep == "all" or (keep == "intermediate" and above.phase == "ii"):
            return
        waiting = [
            child
            for child in context.plan.children_of(parent)
            if not context.store.exists(f"steps/{child}/record.json")
        ]
        if waiting:
            return
        context.store.delete(f"steps/{parent}/attempts/{context.store.record(parent).provenance.attempt}/weights")
        parent = above.parent
