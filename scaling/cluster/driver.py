"""The ready queue as a Ray Tune search algorithm: one Tuner, one trial per session, no waves."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.catalogue.hardware import GIB, GpuSpec, get_gpu
from scaling.cluster.access import check_head, only_with_tokens, private_token
from scaling.cluster.check import DRIVER_RESOURCE
from scaling.cluster.nodes import Capacity, capacity_of, check_gangs, look_at_devices
from scaling.cluster.ray_private import know_all_deaths
from scaling.cluster.session import SessionOrder, quiet, run_session, worker_resources
from scaling.cluster.signals import Ended, ends_on_signals
from scaling.planning.calibration import measured_on, read_calibrations
from scaling.planning.devices import complaint, planned_gpu
from scaling.planning.placement import check_fit, placements
from scaling.planning.queue import ReadyQueue
from scaling.planning.speed import paces, step_seconds
from scaling.spec import UserError
from scaling.store.cache import own_folder
from scaling.store.failures import note_failure
from scaling.store.leases import silent_leases
from scaling.store.pending import pending_steps
from scaling.store.records import StepRecord
from scaling.store.sessions import read_sessions, spent_device_seconds
from scaling.store.stop import StopRequest
from scaling.store.store import Store
from scaling.study.part import WHOLE, Part
from scaling.study.steps import Plan
from scaling.study.study import Study, price_of
from scaling.training.watchdog import Watchdog, limit_of

if TYPE_CHECKING:
    from scaling.cluster.search import Expected


# Ray's sockets lie below the folder of its session, and the path of a socket has 107 bytes at most:
# temporary folders with longer names are not for it.
_SHORT = 40


@dataclass(frozen=True, kw_only=True)
class RunResult:
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
    halted: str = ""
    """Why it ended itself, where what is wrong is no step's fault; '' otherwise."""
    signal: int = 0
    """What ended it before its time: Ctrl-C, or another signal; 0 if nothing did."""


def _set_environment(address: str | None) -> None:
    """What Ray reads when it is imported."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    # A searcher of our own gets one pending trial otherwise, and sessions would start one after
    # another.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "64")
    # The store has its own log; Tune would print a line per trial and write three files for each.
    os.environ.setdefault("AIR_VERBOSITY", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    # Passes differ in shape, which would leave holes in the memory of a GPU. Workers inherit it
    # from the node that this process starts; on clusters their nodes set it.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    if not (address or os.environ.get("RAY_ADDRESS")):
        # Otherwise Ray reads 127.0.0.1 as this machine's address in the network, and listens there.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def join_cluster(
    address: str | None, folder: Path, *, open_cluster: bool = False
) -> dict[str, float]:
    """Join a cluster, or start one on this machine; what it has.

    Args:
        address: Ray cluster to join; None starts one that nobody else reaches.
        folder: Of this user alone, where the session of a cluster that is started lies: Ray lets
            everybody write there.
        open_cluster: Join one that asks for no token.
    """
    _set_environment(address)
    import ray

    address = address or os.environ.get("RAY_ADDRESS")
    if address:
        _check_answers(address)
        check_head(address, open_cluster=open_cluster)
        private_token()
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise UserError(f"no Ray cluster at {address}: {error}") from error
    else:
        only_with_tokens()
        private_token()
        # "local": without it Ray joins whatever cluster some file of this machine remembers.
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            resources={DRIVER_RESOURCE: 64},
            _node_ip_address="127.0.0.1",
            # Below the folder, not it: Ray opens its own to everybody.
            _temp_dir=str(folder / "r"),
        )
    return dict(ray.cluster_resources())


# Of a connection to a cluster's head; Ray itself tries for minutes.
_CONNECT_SECONDS = 5.0


def _check_answers(address: str) -> None:
    """UserError unless somebody listens at HOST:PORT or ray://HOST:PORT; other names are Ray's."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            pass
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"nobody answers at {address}: {error}") from error


def run_plan(
    plan: Plan,
    store: Store,
    records: Mapping[str, StepRecord],
    *,
    address: str | None,
    open_cluster: bool = False,
    watch: Callable[[ReadyQueue], Any],
    part: Part = WHOLE,
    until: float | None = None,
) -> RunResult:
    """Run everything that is missing.

    UserError if the cluster can never hold a gang of the plan, or a step does not fit on the
    study's GPU. Interrupted where a signal ended it before there was work.

    Args:
        plan: What is to run, with what the store had resolved.
        store: Its store.
        records: Of steps that are done, for estimates and what was spent.
        address: Ray cluster to join; None starts one on this machine.
        open_cluster: Join one that asks for no token.
        watch: Gets the queue once, to show it while it works. What it returns is called at the end.
        part: Of the study, that is wanted.
        until: From this time on (seconds of `time.time()`) nothing more is started.
    """
    if not pending_steps(part.of(plan), store.scan()):
        return RunResult(plan=plan, done=0, failed={})
    quiet()
    with own_folder(_SHORT) as scratch:
        _set_environment(address)
        import ray

        try:
            resources = join_cluster(address, scratch, open_cluster=open_cluster)
            # Ray took the signals for itself.
            with ends_on_signals() as ended:
                return _run_joined(
                    plan, store, records, resources, scratch, watch, ended, part, until
                )
        finally:
            # Also of a cluster that had half begun.
            ray.shutdown()


def _run_joined(
    plan: Plan,
    store: Store,
    records: Mapping[str, StepRecord],
    resources: Mapping[str, float],
    scratch: Path,
    watch: Callable[[ReadyQueue], Any],
    ended: Ended,
    part: Part,
    until: float | None,
) -> RunResult:
    """`run_plan` on the cluster that this process has joined.

    Args:
        plan: What is to run.
        store: Its store.
        records: Of steps that are done.
        resources: What the cluster has.
        scratch: Folder for Tune's own files.
        watch: As of `run_plan`.
        ended: Says which signal asked the process to end.
        part: As of `run_plan`.
        until: As of `run_plan`.
    """
    from ray import tune

    from scaling.cluster.search import QueueSearch, StopNow

    know_all_deaths()
    pending = pending_steps(part.of(plan), store.scan())
    capacity = capacity_of(plan.study, resources)
    nodes, use_gpu = capacity.nodes(), capacity.kind == "GPU"
    bundle = capacity.bundle()
    gpu = _planned_gpu(plan.study, capacity, bundle) if use_gpu else None
    sizes = store.read_sizes()
    chosen = placements(plan, gpu, sizes)
    check_fit(plan, chosen, gpu, sizes)
    check_gangs(plan, chosen, nodes, capacity)
    measured = measured_on(read_calibrations(store), gpu)
    pace = paces(plan, records, sizes, chosen, gpu, measured)

    def expected(grown: Plan, steps: Iterable[str]) -> Expected:
        placed = placements(grown, gpu, sizes)
        took = {
            step: step_seconds(grown, grown.steps[step], sizes, placed[step], gpu, measured)
            for step in steps
        }
        return {
            step: pace[grown.steps[step].model] * seconds for step, seconds in took.items()
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
        spent=(price or 0.0) * spent_device_seconds(read_sessions(store).values(), records),
    )
    asked = StopRequest(store, until=until)
    stop = watch(queue)
    # Without driver slots a trial must hold some CPU, which then no worker can have.
    held: dict[str, int | float] = (
        {DRIVER_RESOURCE: 1} if resources.get(DRIVER_RESOURCE, 0) > 0 else {"CPU": 0.01}
    )
    study = plan.study.model_dump_json(exclude_unset=True)

    def make_order(name: str, steps: tuple[str, ...]) -> SessionOrder:
        gang = queue.running[name].gang
        placed = {step: queue.placements[step] for step in steps}
        workers, sharing = placed[steps[0]].workers, placed[steps[0]].sharing
        return SessionOrder(
            id=f"{name}-{os.getpid()}-{int(time.time())}",
            study=study,
            store=store.uri,
            steps=steps,
            placements=placed,
            workers=workers,
            use_gpu=use_gpu,
            gpu=gpu,
            resources=worker_resources(bundle, sharing),
            one_node=use_gpu and gang <= max(queue.nodes),
            collapsed=queue.plan.collapsed,
            silent=silent_leases(store, steps),
            stop=asked.old,
            until=until,
            limits={
                step: limit_of(queue.pace(gang) * queue.seconds[step], queue.tries(step))
                for step in steps
            },
        )

    try:
        # Tune announces itself on standard output whatever its verbosity; the study has its own
        # display.
        with contextlib.redirect_stdout(io.StringIO()):
            tune.Tuner(
                tune.with_resources(_trial, tune.PlacementGroupFactory([held])),
                tune_config=tune.TuneConfig(
                    search_alg=QueueSearch(
                        queue,
                        store,
                        make_order=make_order,
                        expected=expected,
                        capacity=capacity,
                        asked=asked,
                        scratch=str(scratch),
                        part=part,
                    ),
                    num_samples=-1,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=str(scratch),
                    name="tune",
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=0),
                    stop=StopNow(asked),
                ),
            ).fit()
    finally:
        if callable(stop):
            stop()
    left = len(queue.failed) + len(queue.unfunded)
    return RunResult(
        plan=queue.plan,
        done=len(queue.pending) - left,
        failed=dict(queue.failed),
        unfunded=tuple(queue.unfunded),
        stopped=bool(asked.how),
        halted=queue.halted,
        # Tune takes the first Ctrl-C for itself and ends as if all had been done.
        signal=0
        if queue.finished or asked.how or queue.unfunded or queue.halted
        else (ended.signal or signal.SIGINT),
    )


def _planned_gpu(study: Study, capacity: Capacity, bundle: Mapping[str, float]) -> GpuSpec:
    """The study's GPU, or the one that is there. UserError if they are not the same."""
    devices = look_at_devices(capacity)
    if study.gpu:
        gpu = get_gpu(study.gpu)
    else:
        alive = capacity.alive()
        gpu = planned_gpu(
            devices,
            per_node=max((int(node["Resources"]["GPU"]) for node in alive), default=1),
            host_gib=min((node["Resources"].get("memory", 0) / GIB for node in alive), default=0),
            dollars=price_of(study) or 0.0,
        )
    if problem := complaint(devices, gpu):
        raise UserError(problem)
    return gpu


def _trial(config: dict[str, Any]) -> None:
    """One session. Its results are in the store; Tune only needs to know that it ended."""
    session = SessionOrder.from_json(config["session"])

    def note(reason: Mapping[str, Any]) -> None:
        note_failure(Store.open(session.store), session.steps[0], session.id, reason)

    with Watchdog().watch(session.limit, note):
        run_session(session, config["scratch"])
