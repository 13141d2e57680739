"""How far a study is: from the store alone, with or without a job alive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from scaling.catalogue.hardware import GPUS
from scaling.planning.calibration import measured_on, read_calibrations
from scaling.planning.placement import placements
from scaling.planning.speed import step_seconds
from scaling.store.leases import Working, last_beats, working
from scaling.store.pending import pending_steps
from scaling.store.records import StepRecord
from scaling.store.sessions import read_sessions, spent_device_seconds
from scaling.store.store import Scan, Store
from scaling.study.identity import Lock
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study, price_of


def current_plan(study: Study, store: Store, lock: Lock | None = None) -> Plan:
    """One lock file and one listing; nothing but the study's own cells before anything ran."""
    return make_plan(study, lock or store.read_lock(), store.scan().collapsed)


PHASES = ("ii", "iii", "eval")


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
    num_bytes: int


def study_status(
    plan: Plan, store: Store, *, records: Mapping[str, StepRecord] | None = None
) -> Status:
    """The state of every step; reads all records unless they are given."""
    scan = store.scan()
    if records is None:
        records = store.records(step for step in plan.steps if step in scan.done)
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
    busy = tuple(
        working(store, {step: owners for step, owners in scan.leases.items() if step in plan.steps})
    )
    pending = tuple(pending_steps(plan, scan))
    sessions = read_sessions(store)
    return Status(
        total=total,
        done=done,
        collapsed=collapsed,
        pending=pending,
        working=busy,
        failures={step: count for step, count in scan.failures.items() if step in pending},
        seconds=_seconds(sessions, records),
        eta_seconds=_eta(plan, store, records, pending, busy),
        dollars=_dollars(plan, sessions, records),
        num_bytes=scan.num_bytes,
    )


def _seconds(sessions: Sequence[Mapping[str, Any]], records: Mapping[str, StepRecord]) -> Seconds:
    start = sum(float(session["start_seconds"]) for session in sessions)
    costs = [record.cost for record in records.values()]
    return Seconds(
        start=start,
        load=sum(cost.load_seconds for cost in costs),
        work=sum(cost.work_seconds for cost in costs),
        save=sum(cost.save_seconds for cost in costs),
    )


def _eta(
    plan: Plan,
    store: Store,
    records: Mapping[str, StepRecord],
    pending: tuple[str, ...],
    busy: tuple[Working, ...],
) -> float | None:
    """Estimated seconds of what is left, scaled by how right the estimates were so far, over the
    groups at work.
    """
    if not records or not busy:
        return None
    sizes = store.read_sizes()
    gpu = GPUS.get(plan.study.gpu or "")
    if gpu is not None and any(record.cost.device == "cpu" for record in records.values()):
        gpu = None
    chosen, measured = placements(plan, gpu), measured_on(read_calibrations(store), gpu)

    def estimated(step: str) -> float:
        return step_seconds(plan, plan.steps[step], sizes, chosen[step], gpu, measured)

    spent = sum(records[step].cost.wall_seconds for step in records)
    ratio = spent / max(1e-9, sum(estimated(step) for step in records))
    left = sum(estimated(step) for step in pending)
    for item in busy:
        share = item.progress.get("done", 0) / max(1, item.progress.get("total", 1))
        left -= share * estimated(item.step) if item.step in pending else 0.0
    return max(0.0, left) * ratio / len(busy)


def _dollars(
    plan: Plan, sessions: list[dict[str, Any]], records: Mapping[str, StepRecord]
) -> float | None:
    """By the meter that the budget goes by; None without a price, and where a study for GPUs ran on
    CPUs.
    """
    price = price_of(plan.study)
    assumed = plan.study.dollars_per_device_hour is None
    if price is None or (
        assumed and any(record.cost.device == "cpu" for record in records.values())
    ):
        return None
    return price * spent_device_seconds(sessions, records)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    owner: str
    what: str
    """Counts, at work, or left behind; with its bytes."""


def attempts_of(store: Store, step: str) -> list[Attempt]:
    """Everybody who left files of a step, or works on it now."""
    sizes: Counter[str] = Counter()
    start = len(store.path(f"steps/{step}/attempts")) + 1
    for info in store.listing(f"steps/{step}/attempts", recursive=True):
        if info.type == fs.FileType.File:
            sizes[info.path[start:].partition("/")[0]] += info.size or 0
    owners = tuple(last_beats(store, step))
    busy = {item.owner: item.progress for item in working(store, {step: owners})}
    counts = (
        store.record(step).provenance.attempt if store.exists(f"steps/{step}/record.json") else None
    )
    found = []
    for owner in dict.fromkeys([*sizes, *busy, *([counts] if counts else [])]):
        state = "counts" if owner == counts else "is at work" if owner in busy else "left behind"
        progress = busy.get(owner, {})
        share = f", {progress['done']} of {progress['total']}" if progress else ""
        found.append(Attempt(owner=owner, what=f"{state}{share}, {sizes[owner] / 1e6:,.1f} MB"))
    return found


def why_pending(plan: Plan, step: str, scan: Scan) -> str:
    """One sentence: why a step is not done, or would be done again."""
    if step not in pending_steps(plan, scan):
        return "done" if step in scan.done else "not needed: every scoring below it is done"
    parent = plan.steps[step].parent
    if step in scan.done:
        return "done, but its weights were deleted and a step below needs them again"
    if parent is not None and (parent not in scan.done or parent not in scan.weights):
        return f"waits for its parent {parent}"
    return "ready to run"
