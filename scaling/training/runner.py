"""Steps on this process group: skip what is done → claim → train or score → commit. The same with
and without Ray.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from scaling.catalogue.hardware import Placement
from scaling.encoders.world import World
from scaling.store.cache import forget_steps, open_cache
from scaling.store.leases import Lease, LeaseLost, claim, new_owner
from scaling.store.records import StepRecord
from scaling.store.store import Store, attempt_name
from scaling.study.steps import Plan, Step
from scaling.training.actions import now, score, train
from scaling.training.inputs import Context
from scaling.training.loop import Preempted
from scaling.training.watchdog import Limit, Watchdog

LOG = logging.getLogger(__name__)

Outcome = Literal["done", "skipped", "taken", "blocked", "preempted"]
# Asking for a notice is a barrier of all ranks in Ray, so it is not done at every opportunity.
NOTICE_SECONDS = 2.0


def run_steps(
    plan: Plan,
    store: Store,
    steps: Sequence[str],
    world: World,
    placements: Mapping[str, Placement],
    limits: Mapping[str, Limit] | None = None,
    notice: Callable[[], float | None] = lambda: None,
) -> dict[str, Outcome]:
    """Run steps in order; what became of each. A step that passes its limit ends this process
    (scaling.training.watchdog).

    `skipped`: its record existed. `taken`: somebody else works on it. `blocked`: its parent is not
    there.
    `preempted`: a machine goes away, as `notice` told all ranks (seconds left, or None). An
    exception of a step is noted in the store and then ends this process group's work, so that all
    ranks agree. `placements` are by step.
    """
    outcomes: dict[str, Outcome] = {}
    owner = world.from_first(new_owner())
    watchdog = Watchdog()
    notice = _now_and_then(notice, world)
    with open_cache() as cache:
        for name in steps:
            step = plan.steps[name]
            if notice() is not None:
                outcomes[name] = "preempted"
                continue
            context = Context(
                plan=plan,
                store=store,
                world=world,
                placement=placements[name],
                cache=cache,
                owner=owner,
                alive=watchdog.alive,
                notice=notice,
            )
            began = time.monotonic()
            with watchdog.watch((limits or {}).get(name), partial(_give_up, step, context)):
                outcomes[name] = _run_step(step, context)
            LOG.info(
                "%s after %.1f s", outcomes[name], time.monotonic() - began, extra={"step": name}
            )
            forget_steps(cache, {plan.steps[later].parent for later in steps[len(outcomes) :]})
    return outcomes


def _now_and_then(notice: Callable[[], float | None], world: World) -> Callable[[], float | None]:
    """The same on every rank, asked at most every few seconds. A notice that was given once stays
    given.
    """
    asked, told = -math.inf, None

    def ask() -> float | None:
        nonlocal asked, told
        if told is None and world.from_first(time.monotonic() - asked >= NOTICE_SECONDS):
            asked, told = time.monotonic(), notice()
        return told

    return ask


def _run_step(step: Step, context: Context) -> Outcome:
    store, world = context.store, context.world
    lease: Lease | None = None
    decision: Outcome | None = None
    if world.rank == 0:
        decision = _already(step, context)
        if decision is None:
            lease = claim(store, step.id, context.owner)
            # Somebody may have finished between the first look and the claim.
            decision = "taken" if lease is None else _already(step, context)
    decision = world.from_first(decision)
    if decision is not None:
        if lease is not None:
            lease.release()
        return decision
    LOG.info("starts on %s workers, attempt %s", world.size, context.owner, extra={"step": step.id})
    try:
        # A training that is done and not skipped: its weights were deleted and are needed again.
        replacing = (
            store.record(step.id).provenance.attempt
            if lease is not None and _is_done(step.id, store)
            else None
        )
        record = _work(step, context, lease)
        ours = True
        if lease is not None:
            lease.still_ours()
            store.mark_collapse(record)
            ours = store.commit(record, replacing)
            if ours:
                _clean_up(step, context)
            else:
                store.mark_collapse(store.record(step.id))
                store.delete(attempt_name(step.id, context.owner))
        return "done" if world.from_first(ours) else "skipped"
    except LeaseLost:
        raise
    except Preempted as leaving:
        if lease is not None:
            _note(step, context, {"error": str(leaving), "kind": "preempted"})
        return "preempted"
    except Exception as error:
        # Whichever rank failed says so; the others only see a collective that never ends, until Ray
        # stops them. A store that takes no note (a full disk) must not hide the first error.
        LOG.exception("failed", extra={"step": step.id})
        with suppress(OSError):
            _note(step, context, {"error": f"{type(error).__name__}: {error}"})
        raise
    finally:
        if lease is not None:
            lease.release()


def _work(step: Step, context: Context, lease: Lease | None) -> StepRecord:
    """The record of a training or scoring. If it fails, what it wrote is deleted: the disk may be
    what is full.
    """
    try:
        return (
            train(step, context, lease) if step.action == "train" else score(step, context, lease)
        )
    except Exception:
        if lease is not None:
            with suppress(OSError):
                context.store.delete(attempt_name(step.id, context.owner))
        raise


def _is_done(step: str, store: Store) -> bool:
    return store.exists(f"steps/{step}/record.json")


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
    if _is_done(step.id, store):
        record = store.record(step.id)
        if step.action == "eval" or _weights_there(record, store):
            return "skipped"
    if step.parent is not None:
        if not _is_done(step.parent, store):
            return "blocked"
        parent = store.record(step.parent)
        if not _weights_there(parent, store) or _replaced(step, parent, context.plan):
            return "blocked"
    return None


def _replaced(step: Step, parent: StepRecord, plan: Plan) -> bool:
    """Whether a training must not start from a parent that collapsed, since a re-run is to take its
    place.
    """
    collapsed = parent.training is not None and parent.training.collapsed
    return step.action == "train" and collapsed and parent.step in plan.replaceable


def _weights_there(record: StepRecord, store: Store) -> bool:
    return store.exists(
        f"{attempt_name(record.step, record.provenance.attempt)}/weights/manifest.json"
    )


def _clean_up(step: Step, context: Context) -> None:
    """After a commit: its resume point, and trained weights that no pending step needs, as the
    study says.
    """
    store = context.store
    if step.action == "train":
        store.delete(f"steps/{step.id}/resume")
        return
    parent = step.parent
    while parent is not None:
        above = context.plan.steps[parent]
        if context.plan.study.keeps_weights(above.phase):
            return
        if any(_needs_parent(child, context) for child in context.plan.children_of(parent)):
            return
        store.delete(f"{attempt_name(parent, store.record(parent).provenance.attempt)}/weights")
        parent = above.parent


def _needs_parent(step: str, context: Context) -> bool:
    """Whether a step has yet to start from its parent: it is not done, or its weights are gone and
    needed again.
    """
    store = context.store
    if not _is_done(step, store):
        return True
    if context.plan.steps[step].action == "eval" or _weights_there(store.record(step), store):
        return False
    return any(_needs_parent(child, context) for child in context.plan.children_of(step))
