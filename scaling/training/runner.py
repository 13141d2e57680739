"""Steps on this process group: skip what is done → claim → train or score → commit.

The same with and without Ray.
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
from scaling.spec import UserError
from scaling.store.cache import damaged_files, forget_steps, open_cache
from scaling.store.failures import note_failure
from scaling.store.leases import Lease, LeaseLost, claim, let_go, new_owner
from scaling.store.paths import StepFolder
from scaling.store.pending import must_run, weights_needed
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.steps import Plan, Step
from scaling.training.actions import now, score, start_of, train
from scaling.training.inputs import Context
from scaling.training.loop import NonFiniteLoss, Preempted
from scaling.training.watchdog import Limit, Watchdog

LOG = logging.getLogger(__name__)

StepOutcome = Literal["done", "skipped", "taken", "blocked", "preempted", "stopped"]
# All ranks wait for each other when Ray is asked for a notice, so it is asked at most so often.
NOTICE_SECONDS = 2.0


def run_steps(
    plan: Plan,
    store: Store,
    steps: Sequence[str],
    world: World,
    placements: Mapping[str, Placement],
    limits: Mapping[str, Limit] | None = None,
    notice: Callable[[], float | None] = lambda: None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, StepOutcome]:
    """Run steps in order; what became of each.

    `skipped`: its record existed. `taken`: another process group works on it. `blocked`: its parent
    is not there. `preempted`: a machine goes away. `stopped`: nothing more was to be started. An
    exception of a step is noted in the store and then ends this process group's work, so that all
    ranks agree. A step that passes its limit ends this process (scaling.training.watchdog).

    Args:
        plan: The plan that the steps are of.
        store: The study's store.
        steps: Ids of the steps, parents before children.
        world: The ranks, all of which call this.
        placements: By step; each with as many workers as there are ranks.
        limits: Time limits by step; a step without one has none.
        notice: Seconds until a machine goes away, the same on all ranks; None while none does.
        stopped: Whether somebody asked to start nothing more; rank 0 is asked before each step.
    """
    outcomes: dict[str, StepOutcome] = {}
    owner = world.from_first(new_owner())
    watchdog = Watchdog()
    notice = _now_and_then(notice, world)
    with open_cache() as cache:
        for name in steps:
            step = plan.steps[name]
            if world.from_first(world.rank == 0 and stopped()):
                outcomes[name] = "stopped"
                continue
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
    """`notice` asked at most every few seconds, the same on every rank.

    A notice that was given once stays given.
    """
    asked, told = -math.inf, None

    def ask() -> float | None:
        nonlocal asked, told
        if told is None and world.from_first(time.monotonic() - asked >= NOTICE_SECONDS):
            asked, told = time.monotonic(), notice()
        return told

    return ask


def _run_step(step: Step, context: Context) -> StepOutcome:
    """One step, from the claim to the commit; what became of it."""
    store, world = context.store, context.world
    lease: Lease | None = None
    decision: StepOutcome | None = None
    if world.rank == 0:
        # First the claim: what is done before it is seen after it.
        lease = claim(store, step.id, context.owner)
        decision = _already(step, context) or ("taken" if lease is None else None)
    decision = world.from_first(decision)
    if decision is not None:
        if lease is not None:
            lease.release(done=decision == "skipped")
        return decision
    LOG.info("starts on %s workers, attempt %s", world.size, context.owner, extra={"step": step.id})
    done = False
    try:
        # A training that is done and not skipped: its weights are gone and needed again.
        replacing = (
            store.record(step.id).provenance.attempt
            if lease is not None and store.is_done(step.id)
            else None
        )
        record = _work(step, context, lease)
        ours = True
        if lease is not None:
            lease.check()
            store.mark_collapse(record)
            ours = store.commit(record, replacing)
            done = True
            if ours:
                _clean_up(step, context)
            else:
                store.mark_collapse(store.record(step.id))
                store.delete_attempt(step.id, context.owner)
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
            healing = _forget_damage(step, context) if isinstance(error, UserError) else ""
            # What was given, what is stored and what a training computes are the same next time.
            final = isinstance(error, UserError | NonFiniteLoss) and not healing
            reason = f"{type(error).__name__}: {error}{healing}"
            _note(step, context, {"error": reason, "final": final})
        raise
    finally:
        if lease is not None:
            lease.release(done=done)


def _work(step: Step, context: Context, lease: Lease | None) -> StepRecord:
    """The record of a training or scoring.

    If it fails, what it wrote is deleted: a full disk may be what made it fail.
    """
    try:
        return (
            train(step, context, lease) if step.action == "train" else score(step, context, lease)
        )
    # Ctrl-C as well: this process writes nothing more.
    except BaseException:
        if lease is not None:
            with suppress(OSError):
                context.store.delete_attempt(step.id, context.owner)
        raise


def _forget_damage(step: Step, context: Context) -> str:
    """Have weights made again if those that a step starts from are damaged in the store.

    What to add to the error: '' where they are whole, or where only `scaling stage` can mend them.
    """
    store, resume = context.store, StepFolder(step.id).resume
    healing = ""
    if store.exists(f"{resume}/manifest.json"):
        store.delete_folder(resume)
        healing = f" ({store.uri}/{resume} is deleted: the step begins anew)"
    try:
        start = start_of(step, context)
    except UserError:
        return healing
    damaged = damaged_files(store, start.folder, start.files)
    if not damaged:
        return healing
    # Written last of the weights: without it they are none.
    store.delete(start.manifest)
    if step.parent is None:
        return ""
    return (
        f" ({', '.join(damaged)} in {store.uri}/{start.folder} is damaged: {step.parent} is trained"
        " again)"
    )


def _note(step: Step, context: Context, reason: Mapping[str, Any]) -> None:
    """Say in the store why this rank's try ended."""
    rank = context.world.rank
    note = {**reason, "at": now(), "rank": rank}
    note_failure(context.store, step.id, f"{context.owner}-{rank}", note)


def _give_up(step: Step, context: Context, reason: Mapping[str, Any]) -> None:
    """Before this process ends itself: say why, and leave the step to the next try."""
    _note(step, context, reason)
    if context.world.rank == 0:
        let_go(context.store, step.id, context.owner)


def _already(step: Step, context: Context) -> StepOutcome | None:
    """What became of a step before anybody works on it; None if it is to be done now."""
    store = context.store
    # A training whose weights are gone is made again only for a step that has yet to start from it.
    if store.is_done(step.id) and not _pending(context)(step.id):
        return "skipped"
    if step.parent is not None:
        if not store.is_done(step.parent):
            return "blocked"
        parent = store.record(step.parent)
        if not store.has_weights(parent) or _replaced(step, parent, context.plan):
            return "blocked"
    return None


def _replaced(step: Step, parent: StepRecord, plan: Plan) -> bool:
    """Whether a training's parent collapsed and a re-run is to take the parent's place."""
    collapsed = parent.training is not None and parent.training.collapsed
    return step.action == "train" and collapsed and parent.step in plan.replaceable


def _clean_up(step: Step, context: Context) -> None:
    """After a commit, delete what a next try would have gone on from, and weights nobody needs.

    The study says which weights are kept in any case, and of a training without children they stay.
    What is below a training may have been done before: where it was made again.
    """
    plan, store = context.plan, context.store
    store.delete_folder(StepFolder(step.id).resume)
    if step.action == "train" and not plan.children_of(step.id):
        return
    pending = _pending(context)
    above = step.id if step.action == "train" else step.parent
    while above is not None and not weights_needed(plan, above, pending):
        store.delete_weights(store.record(above))
        above = plan.steps[above].parent


def _pending(context: Context) -> Callable[[str], bool]:
    """Whether a step must run, asked of the store step by step.

    A listing of the whole store after every commit would cost more.
    """
    store = context.store
    return partial(
        must_run,
        plan=context.plan,
        done=store.is_done,
        has_weights=lambda training: store.has_weights(store.record(training)),
    )
