"""The ready queue as a Ray Tune search algorithm: one Tuner, one trial per session, no waves."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scaling.deadline import Watchdog, limit_of
from scaling.estimate import placements, step_seconds
from scaling.hardware import get_gpu
from scaling.launch import Session, quiet, run_session
from scaling.plan import Plan
from scaling.queue import ReadyQueue, pending_steps
from scaling.status import failure_of
from scaling.store import Store

# What a trial holds of the cluster: its worker group brings its own resources. A share of the custom resource
# keeps trial drivers on the nodes that have it (the head), where no spot notice reaches them.
DRIVER_RESOURCE = "driver_slot"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of a run."""

    done: int
    failed: dict[str, str]
    """Step → why."""


def connect(address: str | None) -> dict[str, float]:
    """Join a cluster, or start one on this machine; what it has."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    # A searcher of our own gets one pending trial otherwise, and sessions would start one after another.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "64")
    # The store has its own log; Tune would print a line per trial and write three files for each.
    os.environ.setdefault("AIR_VERBOSITY", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    import ray

    _ensure_token()
    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False)
    else:
        ray.init(
            include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, resources={DRIVER_RESOURCE: 64}
        )  # fmt: skip
    return dict(ray.cluster_resources())


def _ensure_token() -> None:
    """A token of this user, made once: nothing that we start may answer a stranger."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled

    ensure_token_if_auth_enabled(create_token_if_missing=True)


def run_plan(plan: Plan, store: Store, *, address: str | None, watch: Callable[[ReadyQueue], Any]) -> Run:
    """Run everything that is missing. `watch` gets the queue once, to show it while it works.

    ValueError if the cluster can never hold a gang of the plan.
    """
    scan = store.scan()
    pending = pending_steps(plan, scan)
    if not pending:
        return Run(done=0, failed={})
    quiet()
    resources = connect(address)
    import ray
    from ray import tune

    use_gpu = resources.get("GPU", 0) > 0
    gpu = get_gpu(plan.study.gpu) if plan.study.gpu and use_gpu else None
    chosen = placements(plan.study, gpu)
    slots = plan.study.max_devices or int(resources.get("GPU" if use_gpu else "CPU", 0))
    for model, placement in chosen.items():
        if placement.workers > slots:
            what = "GPUs" if use_gpu else "CPUs"
            raise ValueError(f"{model} needs {placement.workers} {what} at once; the cluster has {slots}")
    sizes = store.read_sizes()
    seconds = {
        step: step_seconds(plan, plan.steps[step], sizes, chosen[plan.steps[step].model], gpu) for step in pending
    }
    queue = ReadyQueue(
        plan=plan, pending=pending, slots=slots, seconds=seconds,
        workers={model: placement.workers for model, placement in chosen.items()},
    )  # fmt: skip
    stop = watch(queue)
    # Without driver slots a trial must hold some CPU, which then no worker can have.
    held: dict[str, int | float] = {DRIVER_RESOURCE: 1} if resources.get(DRIVER_RESOURCE, 0) > 0 else {"CPU": 0.01}
    study = plan.study.model_dump_json(exclude_unset=True)

    def make_session(name: str, steps: tuple[str, ...]) -> Session:
        return Session(
            id=f"{name}-{os.getpid()}-{int(time.time())}", study=study, store=store.uri, steps=steps,
            placements=chosen, workers=chosen[plan.steps[steps[0]].model].workers, use_gpu=use_gpu,
            limits={step: limit_of(seconds[step], queue.tries(step)) for step in steps},
        )  # fmt: skip

    try:
        # Tune announces itself on standard output whatever its verbosity; the study has its own display.
        with tempfile.TemporaryDirectory(prefix="scaling-") as scratch, contextlib.redirect_stdout(io.StringIO()):
            tune.Tuner(
                tune.with_resources(_trial, tune.PlacementGroupFactory([held])),
                tune_config=tune.TuneConfig(
                    search_alg=make_search(queue, store, make_session, scratch), num_samples=-1, reuse_actors=True
                ),
                run_config=tune.RunConfig(
                    storage_path=scratch, name="tune", verbose=0, failure_config=tune.FailureConfig(max_failures=0)
                ),
            ).fit()
    finally:
        if callable(stop):
            stop()
        ray.shutdown()
    return Run(done=len(pending) - len(queue.failed), failed=dict(queue.failed))


def _trial(config: dict[str, Any]) -> None:
    """One session. Its results are in the store; Tune only needs to know that it ended."""
    session = Session.from_json(config["session"])

    def note(reason: Mapping[str, Any]) -> None:
        Store.open(session.store).write(
            f"steps/{session.steps[0]}/failures/{session.id}.json", json.dumps(dict(reason))
        )

    with Watchdog().watch(session.limit, note):
        run_session(session, config["scratch"])


def make_search(
    queue: ReadyQueue, store: Store, make_session: Callable[[str, tuple[str, ...]], Session], scratch: str
) -> Any:
    """A Tune Searcher that asks the queue. Built here, since importing Tune takes seconds."""
    from ray.tune.search import Searcher

    class QueueSearch(Searcher):
        def __init__(self) -> None:
            super().__init__(metric=None, mode=None)
            self.sessions: dict[str, str] = {}

        def suggest(self, trial_id: str) -> Any:
            taken = queue.take(time.monotonic())
            if taken is None:
                return Searcher.FINISHED if queue.finished else None
            name, steps = taken
            self.sessions[trial_id] = name
            return {"session": make_session(name, steps).to_json(), "scratch": scratch}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            name = self.sessions.pop(trial_id, None)
            if name is None:
                return
            scan = store.scan()
            left = [step for step in queue.running[name] if step not in scan.done]
            reason = None
            if error and left:
                noted = failure_of(store, left[0])
                reason = noted[-1] if noted else "its worker group died without a word"
            queue.close(name, lambda step: step in scan.done, time.monotonic(), reason)

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the store is the truth."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing: the store is the truth."""

    return QueueSearch()
