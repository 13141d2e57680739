"""A whole study in this process, one step after another, without Ray.

For a debugger and for stack traces: nothing runs in another process, nothing has a time limit, and
an exception of a step ends the run as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import torch

from scaling.catalogue.hardware import Placement, get_gpu
from scaling.cluster.driver import RunResult
from scaling.cluster.session import quiet
from scaling.encoders.engine import join_world
from scaling.planning.placement import check_fit, placements
from scaling.spec import UserError
from scaling.store.garbage import drop_replaced
from scaling.store.leases import outlasted
from scaling.store.logs import kept_log
from scaling.store.pending import pending_steps
from scaling.store.sessions import note_end, note_start
from scaling.store.stop import StopRequest
from scaling.store.store import Store
from scaling.study.part import WHOLE, Part
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.training.runner import run_steps


def run_here(
    plan: Plan,
    store: Store,
    say: Callable[[str], None],
    *,
    part: Part = WHOLE,
    until: float | None = None,
) -> RunResult:
    """Run everything that is missing in this process.

    Of a step that is placed on several workers one worker does the whole batch, in more passes:
    the same examples in the same updates. Steps that another run works on, and what starts from
    them, are left; in the end it watches whether the holders of those are alive. An exception of a
    step is noted in the store and raised.

    UserError if a step does not fit on the study's GPU, or if the study has a budget.

    Args:
        plan: What is to run.
        store: Its store.
        say: Gets a line for each step.
        part: Of the study, that is wanted.
        until: From this time on (seconds of `time.time()`) nothing more is started.
    """
    if plan.study.budget_dollars is not None:
        raise UserError(
            f"{plan.study.name} has a budget (budget_dollars), which a run in this process does not"
            " keep: run it without --here, or take the budget out of a copy of the study"
        )
    quiet()
    world = join_world()
    gpu = get_gpu(plan.study.gpu) if plan.study.gpu and world.device.type == "cuda" else None
    if gpu is None:
        # As Ray's workers: sums come out in the same order, so that records can be compared.
        torch.set_num_threads(1)
    sizes = store.read_sizes()
    check_fit(plan, _on_one_worker(placements(plan, gpu, sizes)), gpu, sizes)
    asked = StopRequest(store, until=until)
    done, number, left, taken = 0, 0, set[str](), set[str]()
    name = f"here-{os.getpid()}-{int(time.time())}"
    with kept_log(store, name, world.rank):
        while not asked.how:
            scan = store.scan()
            if plan.study.reruns:
                plan = make_plan(
                    plan.study, plan.lock, plan.collapsed | (scan.collapsed & plan.steps.keys())
                )
            drop_replaced(plan, store, scan)
            pending = [step for step in pending_steps(part.of(plan), scan) if step not in left]
            if not pending and outlasted(store, taken):
                # Whoever held these is dead.
                left, taken = set(), set()
                continue
            if not pending:
                break
            step = pending[0]
            placed = _on_one_worker(placements(plan, gpu, sizes))
            began = time.time()
            # A session for each step, so that `scaling status` counts its cost even if it fails.
            session = f"{name}-{number}"
            note_start(store, session, asked_at=began, workers=world.size, steps=[step])
            try:
                outcome = run_steps(
                    plan, store, [step], world, placed, notice=lambda: _seconds_left(asked)
                )[step]
            finally:
                note_end(store, session, world.size)
            say(f"{outcome} after {time.time() - began:.1f} s  {step}")
            done += outcome == "done"
            number += 1
            if outcome in ("taken", "blocked"):
                left.add(step)
            if outcome == "taken":
                taken.add(step)
    return RunResult(plan=plan, done=done, failed={}, stopped=bool(asked.how))


def _on_one_worker(chosen: Mapping[str, Placement]) -> dict[str, Placement]:
    return {
        step: placement.model_copy(update={"workers": 1, "sharing": 1})
        for step, placement in chosen.items()
    }


def _seconds_left(asked: StopRequest) -> float | None:
    """0 once the run is to stop now, which a step takes for a machine that goes away."""
    return 0.0 if asked.how == "now" else None
