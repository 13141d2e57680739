"""How far a study is: from the store alone, with or without a job alive."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scaling.catalogue.hardware import GPUS, GpuSpec
from scaling.planning.calibration import Calibration, measured_on, read_calibrations
from scaling.planning.eta import eta_seconds
from scaling.planning.placement import placements
from scaling.planning.speed import step_seconds
from scaling.store.layout_one import OldFolder
from scaling.store.leases import Working, working
from scaling.store.paths import StepFolder
from scaling.store.pending import pending_steps
from scaling.store.records import StepRecord
from scaling.store.sessions import SessionCost, price_paid, read_sessions, spent_device_seconds
from scaling.store.store import LOOK_SECONDS, Scan, Store
from scaling.study.flops import Sizes
from scaling.study.identity import Lock
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study

PHASES = ("ii", "iii", "eval")


def current_plan(
    study: Study, store: Store, lock: Lock | None = None, scan: Scan | None = None
) -> Plan:
    """The plan with what the store knows: resolved hashes, and re-runs of what collapsed.

    Args:
        study: What is asked for.
        store: Its store; before anything ran, the plan has nothing but the study's own cells.
        lock: The store's lock file, read here if absent.
        scan: A listing of the store, made here if absent.
    """
    return make_plan(study, lock or store.read_lock(), (scan or store.scan()).collapsed)


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Where the time of all worker groups went so far."""

    start: float
    """Worker groups: processes, imports, process group."""
    load: float
    """Models and data."""
    work: float
    """Training and scoring."""
    save: float

    @property
    def start_share(self) -> float:
        """Start and load against everything; 0 before anything ran."""
        total = self.start + self.load + self.work + self.save
        return (self.start + self.load) / total if total else 0.0


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a study is."""

    total: Mapping[tuple[str, str], int]
    """(model, phase) → steps."""
    done: Mapping[tuple[str, str], int]
    collapsed: Mapping[tuple[str, str], int]
    failures: Mapping[str, int]
    """Step that is not done → failed tries."""
    pending: tuple[str, ...]
    working: tuple[Working, ...]
    seconds: Seconds
    eta_seconds: float | None
    """None before anything ran, or if nobody works."""
    dollars: float | None
    num_bytes: int | None
    """Of the whole store; None on an object store, where a request shows a thousand files."""


@dataclass(frozen=True, kw_only=True)
class _Speeds:
    """What estimates are made from."""

    sizes: Sizes
    measured: list[Calibration]


class StatusReader:
    """Looks at a store again and again; reads once what does not change.

    Where a look takes requests, most looks are one at the leases alone (`LOOK_SECONDS`).
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._done: frozenset[str] = frozenset()
        self._sessions: dict[str, SessionCost] = {}
        self._looked_at = -math.inf
        # What staging wrote and what was measured hardly change while a study runs.
        self._speeds: _Speeds | None = None
        self._num_bytes: int | None = None

    def status(self, plan: Plan) -> Status:
        """The state of every step now. CorruptRecord names a record that cannot be trusted."""
        store = self._store
        scan = store.scan(max_age=LOOK_SECONDS)
        records = store.records(step for step in plan.steps if step in scan.done)
        is_due = time.monotonic() - self._looked_at > LOOK_SECONDS
        if store.local is not None or is_due or scan.done != self._done:
            self._sessions = read_sessions(store)
        if store.local is not None and is_due:
            self._num_bytes = sum(entry.size for entry in store.entries(""))
        if is_due:
            self._looked_at = time.monotonic()
        self._done = scan.done
        if self._speeds is None:
            self._speeds = _Speeds(sizes=store.read_sizes(), measured=read_calibrations(store))
        return _status(plan, store, scan, records, self._sessions, self._speeds, self._num_bytes)


def study_status(plan: Plan, store: Store) -> Status:
    """The state of every step, by one look."""
    return StatusReader(store).status(plan)


def _status(
    plan: Plan,
    store: Store,
    scan: Scan,
    records: Mapping[str, StepRecord],
    sessions: Mapping[str, SessionCost],
    speeds: _Speeds,
    num_bytes: int | None,
) -> Status:
    """The state of every step.

    Args:
        plan: All steps.
        store: Whose leases are read.
        scan: A listing of it.
        records: Of the plan's steps that are done.
        sessions: Every session so far.
        speeds: What estimates are made from.
        num_bytes: Of the whole store, if it is known.
    """
    total: Counter[tuple[str, str]] = Counter()
    done: Counter[tuple[str, str]] = Counter()
    collapsed: Counter[tuple[str, str]] = Counter()
    for step in plan.steps.values():
        key = (step.model, step.phase)
        total[key] += 1
        record = records.get(step.id)
        if record is not None:
            done[key] += 1
            collapsed[key] += bool(record.training and record.training.collapsed)
    leases = [entry for step, entry in scan.leases.items() if step in plan.steps]
    busy = tuple(working(store, leases))
    pending = tuple(pending_steps(plan, scan))
    price = price_paid(plan.study, records.values())
    spent = spent_device_seconds(sessions.values(), records)
    return Status(
        total=total,
        done=done,
        collapsed=collapsed,
        pending=pending,
        working=busy,
        failures={step: count for step, count in scan.failures.items() if step in pending},
        seconds=_seconds(sessions.values(), records),
        eta_seconds=_eta(plan, speeds, records, pending, busy, sessions.values()),
        dollars=None if price is None else price * spent,
        num_bytes=num_bytes,
    )


def _seconds(sessions: Iterable[SessionCost], records: Mapping[str, StepRecord]) -> Seconds:
    costs = [record.cost for record in records.values()]
    return Seconds(
        start=sum(session.start_seconds for session in sessions),
        load=sum(cost.load_seconds for cost in costs),
        work=sum(cost.work_seconds for cost in costs),
        save=sum(cost.save_seconds for cost in costs),
    )


def _device(plan: Plan, records: Mapping[str, StepRecord]) -> GpuSpec | None:
    """The study's GPU; None where it names none, and where something ran on CPUs."""
    if any(record.cost.device == "cpu" for record in records.values()):
        return None
    return GPUS.get(plan.study.gpu or "")


def _eta(
    plan: Plan,
    speeds: _Speeds,
    records: Mapping[str, StepRecord],
    pending: tuple[str, ...],
    busy: tuple[Working, ...],
    sessions: Iterable[SessionCost],
) -> float | None:
    """Estimated seconds of what is left (scaling/planning/eta.py).

    Args:
        plan: All steps.
        speeds: What estimates are made from.
        records: Of the plan's steps that are done.
        pending: Steps that must run.
        busy: Who works.
        sessions: Every session so far.
    """
    if not records or not busy:
        return None
    gpu = _device(plan, records)
    chosen, measured = placements(plan, gpu, speeds.sizes), measured_on(speeds.measured, gpu)

    def estimated(step: str) -> float:
        return step_seconds(plan, plan.steps[step], speeds.sizes, chosen[step], gpu, measured)

    return eta_seconds(
        plan,
        records,
        pending,
        busy,
        sessions,
        estimated,
        lambda step: chosen[step].workers,
        time.time(),
    )


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One owner's part in a step."""

    owner: str
    what: str
    """Counts, at work, or left behind; with its bytes."""


def attempts_of(store: Store, step: str) -> list[Attempt]:
    """Everybody who left files of a step, or works on it now."""
    sizes: Counter[str] = Counter()
    folders = [StepFolder(step).attempts, *([OldFolder(step).attempts] if store.has_old else [])]
    for folder in folders:
        for entry in store.entries(folder):
            sizes[entry.name.removeprefix(f"{folder}/").partition("/")[0]] += entry.size
    lease = store.look(StepFolder(step).lease)
    busy = {item.owner: item.progress for item in working(store, [lease] if lease else [])}
    counts = store.counting_attempt(step)
    attempts = []
    for owner in dict.fromkeys([*sizes, *busy, *([counts] if counts else [])]):
        state = "counts" if owner == counts else "is at work" if owner in busy else "left behind"
        progress = busy.get(owner, {})
        share = f", {progress['done']} of {progress['total']}" if progress else ""
        attempts.append(Attempt(owner=owner, what=f"{state}{share}, {sizes[owner] / 1e6:,.1f} MB"))
    return attempts


def why_pending(plan: Plan, step: str, scan: Scan) -> str:
    """One sentence: why a step is not done, or would be done again."""
    if step not in pending_steps(plan, scan):
        return "done"
    parent = plan.steps[step].parent
    if step in scan.done:
        return "done, but its weights were deleted and a step below needs them again"
    if parent is not None and (parent not in scan.done or parent not in scan.weights):
        return f"waits for its parent {parent}"
    return "ready to run"
