"""The ready queue as a Ray Tune search algorithm: one Tuner, one trial per session, no waves."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scaling.catalogue.hardware import Placement, get_gpu
from scaling.cluster.check import DRIVER_RESOURCE
from scaling.cluster.nodes import Capacity, capacity_of, check_gangs
from scaling.cluster.ray_private import free_orphans
from scaling.cluster.session import Session, quiet, run_session
from scaling.planning.calibration import measured_on, read_calibrations
from scaling.planning.placement import check_fit, placements
from scaling.planning.progress import failure_of
from scaling.planning.queue import ReadyQueue
from scaling.planning.speed import paces, step_seconds
from scaling.store.pending import pending_steps
from scaling.store.sessions import price_of, read_sessions, settle, spent_device_seconds
from scaling.store.stop import StopRequest
from scaling.store.store import Scan, Store, attempt_name
from scaling.study.plan import Plan, make_plan
from scaling.training.watchdog import Watchdog, limit_of

# Of steps of a plan: estimated seconds, and placements.
Expected = tuple[Mapping[str, float], Mapping[str, Placement]]

# Seconds between looks at the store for steps that were committed in the middle of a session.
LOOK_SECONDS = 5.0
# Seconds between looks at the cluster for nodes that were lost or came.
NODES_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """What became of a run."""

    plan: Plan
    """With the re-runs that became necessary on the way."""
    done: int
    failed: dict[str, str]
    """Step → why."""
    unfunded: tuple[str, ...] = ()
    """Steps that the budget did not admit."""
    stopped: bool = False
    """Whether somebody asked it to stop (scaling.store.stop)."""


def connect(address: str | None) -> dict[str, float]:
    """Join a cluster, or start one on this machine; what it has."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    # A searcher of our own gets one pending trial otherwise, and sessions would start one after
    # another.
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
        # "local": without it Ray joins whatever cluster some file of this machine remembers.
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            resources={DRIVER_RESOURCE: 64},
        )
    return dict(ray.cluster_resources())


def _ensure_token() -> None:
    """A token of this user, made once: nothing that we start may answer a stranger."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled

    ensure_token_if_auth_enabled(create_token_if_missing=True)


def run_plan(
    plan: Plan, store: Store, *, address: str | None, watch: Callable[[ReadyQueue], Any]
) -> Run:
    """Run everything that is missing. `watch` gets the queue once, to show it while it works.

    ValueError if the cluster can never hold a gang of the plan, or a step does not fit on the
    study's GPU.
    """
    scan = store.scan()
    pending = pending_steps(plan, scan)
    if not pending:
        return Run(plan=plan, done=0, failed={})
    quiet()
    resources = connect(address)
    import ray
    from ray import tune

    capacity = capacity_of(plan.study, resources)
    nodes, use_gpu = capacity.nodes(), capacity.kind == "GPU"
    gpu = get_gpu(plan.study.gpu) if plan.study.gpu and use_gpu else None
    chosen = placements(plan, gpu)
    check_fit(plan, chosen, gpu)
    check_gangs(plan, chosen, nodes, capacity)
    sizes = store.read_sizes()
    records = store.records(step for step in scan.done if step in plan.steps)
    measured = measured_on(read_calibrations(store), gpu)
    pace = paces(plan, records, sizes, chosen, gpu, measured)

    def expected(whole: Plan, steps: Iterable[str]) -> Expected:
        placed = placements(whole, gpu)
        took = {
            step: step_seconds(whole, whole.steps[step], sizes, placed[step], gpu, measured)
            for step in steps
        }
        return {
            step: pace[whole.steps[step].model] * seconds for step, seconds in took.items()
        }, placed

    price = price_of(plan.study)
    seconds, _ = expected(plan, pending)
    queue = ReadyQueue(
        plan=plan,
        pending=pending,
        nodes=nodes,
        most=capacity.most,
        seconds=seconds,
        placements=chosen,
        price=price or 0.0,
        budget=plan.study.budget_dollars,
        spent=(price or 0.0) * spent_device_seconds(read_sessions(store), records),
    )
    asked = StopRequest(store)
    stop = watch(queue)
    # Without driver slots a trial must hold some CPU, which then no worker can have.
    held: dict[str, int | float] = (
        {DRIVER_RESOURCE: 1} if resources.get(DRIVER_RESOURCE, 0) > 0 else {"CPU": 0.01}
    )
    study = plan.study.model_dump_json(exclude_unset=True)

    def make_session(name: str, steps: tuple[str, ...]) -> Session:
        gang = queue.running[name].gang
        return Session(
            id=f"{name}-{os.getpid()}-{int(time.time())}",
            study=study,
            store=store.uri,
            steps=steps,
            placements={step: queue.placements[step] for step in steps},
            workers=gang,
            use_gpu=use_gpu,
            one_node=use_gpu and gang <= max(queue.nodes),
            collapsed=queue.plan.collapsed,
            limits={
                step: limit_of(queue.pace(gang) * queue.seconds[step], queue.tries(step))
                for step in steps
            },
        )

    try:
        # Tune announces itself on standard output whatever its verbosity; the study has its own
        # display.
        with (
            tempfile.TemporaryDirectory(prefix="scaling-") as scratch,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            tune.Tuner(
                tune.with_resources(_trial, tune.PlacementGroupFactory([held])),
                tune_config=tune.TuneConfig(
                    search_alg=make_search(
                        queue, store, make_session, expected, capacity, scratch, asked
                    ),
                    num_samples=-1,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=scratch,
                    name="tune",
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0),
                    stop=make_stopper(asked),
                ),
            ).fit()
    finally:
        if callable(stop):
            stop()
        ray.shutdown()
    left = len(queue.failed) + len(queue.unfunded)
    return Run(
        plan=queue.plan,
        done=len(queue.pending) - left,
        failed=dict(queue.failed),
        unfunded=tuple(queue.unfunded),
        stopped=bool(asked.how),
    )


def grow(
    queue: ReadyQueue, scan: Scan, expected: Callable[[Plan, Iterable[str]], Expected]
) -> None:
    """Add a re-run, and what starts from it, for every training that was seen to collapse since the
    last look.
    """
    plan = queue.plan
    fresh = {step for step in scan.collapsed - plan.collapsed if step in plan.steps}
    if not fresh or not plan.study.reruns:
        return
    grown = make_plan(plan.study, plan.lock, plan.collapsed | fresh)
    pending = pending_steps(grown, scan)
    queue.extend(grown, pending, *expected(grown, pending))


def drop_replaced(plan: Plan, store: Store, scan: Scan) -> None:
    """Delete the weights of collapsed trainings that nothing planned still starts from, as the
    study says.

    A worker deletes weights by the plan that its session began with, in which the collapsed one had
    more children.
    """
    if plan.study.reruns and plan.study.keep_weights == "none":
        pending = set(pending_steps(plan, scan))
        for step in plan.collapsed & scan.weights & plan.steps.keys():
            # Also a child that is done starts from them, if its own weights are gone and needed
            # again.
            if pending.isdisjoint(plan.children_of(step)):
                store.delete(f"{attempt_name(step, store.record(step).provenance.attempt)}/weights")


def _trial(config: dict[str, Any]) -> None:
    """One session. Its results are in the store; Tune only needs to know that it ended."""
    session = Session.from_json(config["session"])

    def note(reason: Mapping[str, Any]) -> None:
        Store.open(session.store).write(
            f"steps/{session.steps[0]}/failures/{session.id}.json", json.dumps(dict(reason))
        )

    with Watchdog().watch(session.limit, note):
        run_session(session, config["scratch"])


def make_stopper(asked: StopRequest) -> Any:
    """Ends running sessions as well, where that was asked for: their worker groups go with the
    driver.
    """
    from ray import tune

    class NowStopper(tune.Stopper):
        def __call__(self, trial_id: str, result: Any) -> bool:
            return False

        def stop_all(self) -> bool:
            return asked.how == "now"

    return NowStopper()


def make_search(
    queue: ReadyQueue,
    store: Store,
    make_session: Callable[[str, tuple[str, ...]], Session],
    expected: Callable[[Plan, Iterable[str]], Expected],
    capacity: Capacity,
    scratch: str,
    asked: StopRequest,
) -> Any:
    """A Tune Searcher that asks the queue. Built here, since importing Tune takes seconds."""
    from ray.tune.search import Searcher

    class QueueSearch(Searcher):
        def __init__(self) -> None:
            super().__init__(metric=None, mode=None)
            self.sessions: dict[str, tuple[str, Session]] = {}
            self.look_at = time.monotonic() + LOOK_SECONDS
            self.nodes_at = time.monotonic() + NODES_SECONDS

        def suggest(self, trial_id: str) -> Any:
            if asked.how:
                return None if queue.running else Searcher.FINISHED
            self.look_around()
            taken = queue.take(time.monotonic())
            if taken is None:
                return Searcher.FINISHED if queue.finished else None
            session = make_session(*taken)
            self.sessions[trial_id] = taken[0], session
            return {"session": session.to_json(), "scratch": scratch}

        def look_around(self) -> None:
            """See steps that were committed in the middle of a session, and nodes that were lost or
            came.
            """
            now = time.monotonic()
            if queue.running and now >= self.look_at:
                scan = store.scan()
                grow(queue, scan, expected)
                drop_replaced(queue.plan, store, scan)
                queue.look(queue.done_in(scan))
                # A listing of a large store takes a while; it must not be what the driver does.
                self.look_at = time.monotonic() + max(LOOK_SECONDS, 20 * (time.monotonic() - now))
            if now >= self.nodes_at:
                free_orphans()
                queue.resize(capacity.nodes())
                self.nodes_at = now + NODES_SECONDS

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            if trial_id not in self.sessions:
                return
            name, session = self.sessions.pop(trial_id)
            scan = store.scan()
            grow(queue, scan, expected)
            drop_replaced(queue.plan, store, scan)
            done = queue.done_in(scan)
            left = [step for step in queue.running[name].steps if not done(step)]
            reason = None
            if error and left:
                noted = failure_of(store, left[0])
                reason = noted[-1] if noted else "its worker group died without a word"
            queue.close(
                name,
                done,
                time.monotonic(),
                reason,
                device_seconds=settle(store, session.id, session.workers),
            )

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the store is the truth."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing: the store is the truth."""

    return QueueSearch()
