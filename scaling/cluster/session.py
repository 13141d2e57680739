"""Steps on a Ray Train worker group (Train V2): one gang runs many, one after another."""

from __future__ import annotations

import logging
import math
import os
import platform
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from scaling.catalogue.hardware import GIB, GpuSpec, Placement
from scaling.cluster.ray_private import torch_trainer
from scaling.planning.devices import Device, complaint
from scaling.planning.memory import GPU_FIXED_GIB
from scaling.training.watchdog import Limit

if TYPE_CHECKING:
    from scaling.encoders.world import World

# A worker group that has not started after this (no such node comes, or none has room) gives its
# turn back.
START_LIMIT_SECONDS = 1800.0
_START_TRY_SECONDS = 60.0
# A drain without a deadline: what Ray Train itself assumes (ray/train/v2/_internal/constants.py).
UNKNOWN_NOTICE_SECONDS = 120.0
# Worker groups of one session that end because their machines went away. They are no failures of
# the steps.
MAX_PREEMPTIONS = 20


class WrongDevice(RuntimeError):
    """A device is not what the steps were placed for: no step can be blamed for it."""


@dataclass(frozen=True, kw_only=True)
class SessionOrder:
    """What one worker group is asked to do. It travels to the workers as JSON."""

    id: str
    study: str
    """The study as JSON."""
    store: str
    steps: tuple[str, ...]
    placements: Mapping[str, Placement]
    """By step; all have as many workers as the session."""
    workers: int
    use_gpu: bool
    gpu: GpuSpec | None
    """What the steps are placed for; None on CPUs."""
    resources: Mapping[str, float]
    """What each worker holds of the cluster."""
    one_node: bool
    """Whether the gang must sit on one node: a network between two would be too slow for it."""
    collapsed: frozenset[str]
    """Trainings that re-runs of the plan are for."""
    limits: Mapping[str, Limit]
    """What each step may take."""
    silent: Mapping[str, str]
    """Step → tag of leases that the driver saw unchanged until they may be taken over."""
    stop: str
    """The request to stop that was there when the driver began: a newer one counts."""
    until: float | None = None
    """From this time on (seconds of `time.time()`) nothing more is started."""

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back exactly."""
        return {
            "id": self.id,
            "study": self.study,
            "store": self.store,
            "steps": list(self.steps),
            "placements": {
                step: placement.model_dump() for step, placement in self.placements.items()
            },
            "workers": self.workers,
            "use_gpu": self.use_gpu,
            "gpu": None if self.gpu is None else self.gpu.model_dump(),
            "resources": dict(self.resources),
            "one_node": self.one_node,
            "collapsed": sorted(self.collapsed),
            "silent": dict(self.silent),
            "stop": self.stop,
            "until": self.until,
            "limits": {step: asdict(limit) for step, limit in self.limits.items()},
        }

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> SessionOrder:
        """The order in `to_json`'s data."""
        placements = {step: Placement(**fields) for step, fields in raw["placements"].items()}
        limits = {step: Limit(**fields) for step, fields in raw["limits"].items()}
        plain = {
            "steps": tuple(raw["steps"]),
            "collapsed": frozenset(raw["collapsed"]),
            "gpu": None if raw["gpu"] is None else GpuSpec(**raw["gpu"]),
        }
        return SessionOrder(**{**raw, **plain, "placements": placements, "limits": limits})

    @property
    def sharing(self) -> int:
        """Sessions to a device."""
        return next(iter(self.placements.values())).sharing

    @property
    def limit(self) -> Limit:
        """Of the whole session, start included: the last resort where Ray's controller hangs."""
        total = START_LIMIT_SECONDS + sum(limit.total_seconds for limit in self.limits.values())
        return Limit(total_seconds=total, silent_seconds=total)


def worker(config: dict[str, Any]) -> None:
    """Runs in every worker of the group. What it did is in the store."""
    quiet()
    import torch

    from scaling.encoders.engine import join_world
    from scaling.store.failures import note_failure
    from scaling.store.leases import pass_on_silence
    from scaling.store.logs import kept_log
    from scaling.store.sessions import note_start
    from scaling.store.stop import StopRequest
    from scaling.store.store import Store
    from scaling.study.plan import make_plan
    from scaling.study.study import Study
    from scaling.training.runner import run_steps

    session = SessionOrder.from_json(config["session"])
    if not session.use_gpu:
        # One thread a worker: sums come out in the same order whatever the machine, so records can
        # be compared.
        torch.set_num_threads(1)
    store = Store.open(session.store)
    plan = make_plan(Study.model_validate_json(session.study), store.read_lock(), session.collapsed)
    if plan.provisional:
        # An empty lock file would make another plan, and writing anything a second store.
        raise FileNotFoundError(f"{store.uri} has no lock file (is its disk mounted?)")
    world = join_world()
    try:
        check_devices(world, session.gpu)
    except WrongDevice as error:
        if world.rank == 0:
            note_failure(store, session.steps[0], session.id, {"error": f"WrongDevice: {error}"})
        raise
    if world.rank == 0:
        note_start(
            store,
            session.id,
            asked_at=config["asked_at"],
            workers=world.size,
            steps=session.steps,
            sharing=session.sharing,
        )
    if session.use_gpu and session.sharing > 1:
        # Whoever outgrows its part fails alone, and takes no memory of the others.
        total_gib = torch.cuda.get_device_properties(world.device).total_memory / GIB
        torch.cuda.set_per_process_memory_fraction(
            allocator_share(session.sharing, total_gib), world.device
        )
    asked = StopRequest(store, session.stop, until=session.until)
    pass_on_silence(store, session.silent)
    with kept_log(store, session.id, world.rank):
        run_steps(
            plan,
            store,
            session.steps,
            world,
            session.placements,
            session.limits,
            seconds_left,
            lambda: bool(asked.how),
        )


def worker_resources(alone: Mapping[str, float], sharing: int) -> dict[str, float]:
    """What a worker holds of the cluster, if so many sessions share a device.

    `alone`: what it holds of a device of its own.
    """
    parts = {name: amount / sharing for name, amount in alone.items()}
    # A part of a CPU only where there is less than one.
    return {**parts, "CPU": math.floor(parts["CPU"]) if parts["CPU"] > 1 else parts["CPU"]}


def allocator_share(sharing: int, total_gib: float) -> float:
    """Part of a device that PyTorch's allocator may have in one of so many processes on it.

    What libraries and context hold is not the allocator's.
    """
    return 1 / sharing - GPU_FIXED_GIB / total_gib


def check_devices(world: World, gpu: GpuSpec | None) -> None:
    """WrongDevice on every rank if a device of this process group is not what was planned for."""
    import torch

    if gpu is None:
        return
    here = None
    if world.device.type == "cuda":
        found = torch.cuda.get_device_properties(world.device)
        here = Device(node=platform.node(), name=found.name, memory_gib=found.total_memory / GIB)
    devices = world.gather(here)
    if None in devices:
        raise WrongDevice(
            f"{platform.node()}: torch {torch.__version__} (CUDA {torch.version.cuda or 'none'})"
            " sees no GPU although Ray gave this worker one: the driver is too old for it, or it"
            " is a build without CUDA"
        )
    if problem := complaint(devices, gpu):
        raise WrongDevice(problem)


def seconds_left() -> float | None:
    """Seconds until a node of this worker group goes away; None while none does.

    Every rank must call it: it is a barrier. Ray knows of it for a drained node only (see
    jobs/sentinel.py).
    """
    import ray.train

    info = ray.train.get_preemption_info()  # type: ignore[attr-defined]
    if info is None:
        return None
    return info.deadline_ms / 1000 - time.time() if info.deadline_ms else UNKNOWN_NOTICE_SECONDS


def run_session(session: SessionOrder, scratch: str) -> None:
    """Start a worker group, run the session, end the group. Whatever fails there is raised here."""
    # Before ray.train is imported: the controller looks at its workers this often, which bounds how
    # fast a group ends. The default of two seconds would be a third of a small study.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(_START_TRY_SECONDS)
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "1")
    import ray.train

    torch_trainer()(
        worker,
        train_loop_config={"session": session.to_json(), "asked_at": time.time()},
        scaling_config=ray.train.ScalingConfig(
            num_workers=session.workers,
            use_gpu=session.use_gpu,
            resources_per_worker=dict(session.resources),
            placement_strategy="STRICT_PACK" if session.one_node else "PACK",
        ),
        run_config=ray.train.RunConfig(
            name=session.id,
            storage_path=scratch,
            # Ray would try to start a group for ever. Its types are those of the first version.
            failure_config=ray.train.FailureConfig(  # type: ignore[call-arg]
                controller_failure_limit=int(START_LIMIT_SECONDS / _START_TRY_SECONDS),
                max_failures=0,
                max_preemption_failures=MAX_PREEMPTIONS,
            ),
        ),
    ).fit()


def quiet() -> None:
    """Keep libraries' notices out of the study's log; errors stay."""
    os.environ.setdefault("DS_LOG_LEVEL", "error")
    warnings.filterwarnings("ignore")
    for name in ("DeepSpeed", "transformers", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
