"""What a run says of itself: time left against the truth, and when a first result is there.

`python -m benchmarks.users STUDY=STORE …` replays stored runs: what their records and sessions say
was known at each tenth of the run. The steps of the largest store are then replayed through the
queue, in its order of today, on two groups and on one.

A stored run has what others did on its machine in it, and nobody can foresee that. Replayed in
another order, its durations would hand the load of one hour to the steps of another. So a replay
through the queue has a machine to itself: each step takes as long as the quickest of its model,
task and action in any of the stores, and each session starts as the quickest did.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import mean, median
from typing import Any

from scaling.catalogue.hardware import Placement
from scaling.planning.eta import eta_seconds
from scaling.planning.placement import placements
from scaling.planning.queue import ReadyQueue
from scaling.planning.speed import step_seconds
from scaling.store.leases import Working
from scaling.store.records import StepRecord
from scaling.store.sessions import SessionCost, read_sessions
from scaling.store.store import Store
from scaling.study.flops import Sizes
from scaling.study.identity import Lock
from scaling.study.plan import make_plan
from scaling.study.steps import Plan, Step
from scaling.study.study import Study, load_study

TENTHS = tuple(at / 10 for at in range(1, 10))
MEDIAN, WORST = 1.5, 2.0
# Of a study's run until a gain is known at two sizes.
EARLY = 1 / 3


@dataclass(frozen=True)
class Run:
    """A run that is over."""

    name: str
    study: Study
    sizes: Sizes
    records: Mapping[str, StepRecord]
    """By id of today's plan."""
    ends: Mapping[str, float]
    """Step → when it was done."""
    sessions: Sequence[tuple[SessionCost, float]]
    """And when each ended."""

    @property
    def begin(self) -> float:
        return min(session.asked_at for session, _ in self.sessions)

    @property
    def seconds(self) -> float:
        return max(self.ends.values()) - self.begin

    def plan(self, known: Mapping[str, StepRecord]) -> Plan:
        """The plan that these records lead to, as far as the run did it."""
        down = {step for step, one in known.items() if one.training and one.training.collapsed}
        plan = make_plan(self.study, Lock(), frozenset(down))
        steps = {name: step for name, step in plan.steps.items() if name in self.records}
        return replace(plan, steps=steps)


def stored_run(name: str, uri: str) -> Run:
    """The run that filled a store. Steps are matched by the readable part of their ids, so that
    stores of earlier versions count too."""
    study, store = load_study(name), Store.open(uri)
    scan = store.scan()
    by_name = {step.rpartition(".")[0]: one for step, one in store.records(scan.done).items()}
    down = frozenset[str]()
    for _ in range(study.reruns + 1):
        plan = make_plan(study, Lock(), down)
        found = {step: by_name.get(step.rpartition(".")[0]) for step in plan.steps}
        records = {step: one for step, one in found.items() if one is not None}
        down = frozenset(s for s, one in records.items() if one.training and one.training.collapsed)
    ends = {
        step: datetime.fromisoformat(one.provenance.finished_at).timestamp()
        for step, one in records.items()
    }
    ids = {record.step: step for step, record in records.items()}
    sessions = []
    for session in read_sessions(store).values():
        steps = tuple(ids[step] for step in session.steps if step in ids)
        last = max((ends[step] for step in steps), default=session.asked_at)
        took = session.device_seconds
        end = last if took is None else session.asked_at + took / session.workers
        sessions.append((replace(session, steps=steps), end))
    return Run(
        f"{name} in {len(records)} steps", study, store.read_sizes(), records, ends, sessions
    )


@dataclass(frozen=True)
class Calm:
    """What steps and starts take on a machine of their own, by what was quickest in any run."""

    seconds: Mapping[tuple[str, str, str], float]
    """(model, task, action) → of a step."""
    beside: float
    """Of a session, beside its steps."""

    def of(self, run: Run) -> Run:
        """The run with these durations in its records."""
        steps = run.plan(run.records).steps
        records = {
            name: replace(
                one, cost=replace(one.cost, wall_seconds=self.seconds[_kind(steps[name])])
            )
            for name, one in run.records.items()
        }
        return replace(run, records=records)


def _kind(step: Step) -> tuple[str, str, str]:
    return step.model, step.task, step.action


def calm(runs: Sequence[Run]) -> Calm:
    """The quickest step of each kind, and the quickest start, of all runs."""
    seconds: dict[tuple[str, str, str], float] = {}
    for run in runs:
        for name, step in run.plan(run.records).steps.items():
            took = run.records[name].cost.wall_seconds
            seconds[_kind(step)] = min(took, seconds.get(_kind(step), took))
    return Calm(seconds, min(_beside(run, one, end) for run in runs for one, end in run.sessions))


def slowed(run: Run, alone: Calm) -> tuple[float, float]:
    """Over tenths of a run: how many times longer than alone its steps took, least and most."""
    by_tenth: dict[int, list[float]] = {}
    for name, step in run.plan(run.records).steps.items():
        tenth = min(9, int(10 * (run.ends[name] - run.begin) / run.seconds))
        took = run.records[name].cost.wall_seconds
        by_tenth.setdefault(tenth, []).append(took / alone.seconds[_kind(step)])
    return min(map(mean, by_tenth.values())), max(map(mean, by_tenth.values()))


def _beside(run: Run, session: SessionCost, end: float) -> float:
    own = sum(run.records[step].cost.wall_seconds for step in session.steps)
    return max(0.0, end - session.asked_at - own)


def replayed(run: Run, groups: int, name: str, beside: float) -> Run:
    """The durations of a run through the queue of today on so many groups.

    Args:
        run: Whose steps are done again.
        groups: At work at a time.
        name: Of the replay.
        beside: Seconds that a session takes to start and end.
    """
    plan, estimated = _estimates(run)
    pending = [step for step in make_plan(run.study).steps if step in run.records]
    alone = Placement(workers=1)
    queue = ReadyQueue(
        plan=replace(make_plan(run.study), collapsed=frozenset()),
        pending=list(pending),
        seconds={step: estimated(step) for step in plan.steps},
        placements=dict.fromkeys(plan.steps, alone),
        nodes=[groups],
    )
    now, ends = 0.0, dict[str, float]()
    open_sessions: dict[str, list[Any]] = {}
    over: list[tuple[SessionCost, float]] = []
    events: list[tuple[float, str]] = []

    def done(step: str) -> bool:
        return step in ends

    while not queue.finished:
        while (taken := queue.take(now)) is not None:
            session, steps = taken
            cost = SessionCost(asked_at=now, start_seconds=beside, workers=1, steps=steps)
            open_sessions[session] = [cost, list(steps)]
            heapq.heappush(
                events, (now + beside + run.records[steps[0]].cost.wall_seconds, session)
            )
        if not events:
            now += 10.0
            continue
        now, session = heapq.heappop(events)
        cost, left = open_sessions[session]
        step = left.pop(0)
        if step in queue.plan.steps:
            ends[step] = now
        queue.commit(step)
        training = run.records[step].training
        if training and training.collapsed:
            grown = make_plan(run.study, Lock(), queue.plan.collapsed | {step})
            fresh = [s for s in grown.steps if s in run.records and s not in ends]
            queue.extend(grown, fresh, {}, {})
        left[:] = [step for step in left if step in queue.plan.steps]
        if left:
            heapq.heappush(events, (now + run.records[left[0]].cost.wall_seconds, session))
        else:
            over.append((replace(cost, device_seconds=now - cost.asked_at), now))
            queue.close(session, done, now, None)
    records = {step: _done_at(run.records[step], end) for step, end in ends.items()}
    return replace(run, name=name, records=records, ends=ends, sessions=over)


def _done_at(record: StepRecord, end: float) -> StepRecord:
    at = datetime.fromtimestamp(end, UTC).isoformat()
    return replace(record, provenance=replace(record.provenance, finished_at=at))


def _estimates(run: Run) -> tuple[Plan, Callable[[str], float]]:
    """All of a run's steps, and what each was estimated to take."""
    plan = run.plan(run.records)
    chosen = placements(plan, None)
    return plan, lambda step: step_seconds(plan, plan.steps[step], run.sizes, chosen[step], None)


def said_at(run: Run, time: float) -> float | None:
    """The seconds to go that `scaling status` would have said then."""
    known = {step: run.records[step] for step, end in run.ends.items() if end <= time}
    plan, (_, estimated) = run.plan(known), _estimates(run)
    pending = [step for step in plan.steps if step not in known]
    busy = []
    for step in pending:
        took = run.records[step].cost.wall_seconds
        share = (time - run.ends[step] + took) / took
        if share >= 0:
            progress = {"done": share, "total": 1}
            busy.append(Working(step=step, owner="", age_seconds=0.0, progress=progress))
    sessions = [
        session if end <= time else replace(session, device_seconds=None)
        for session, end in run.sessions
        if session.asked_at + session.start_seconds <= time
    ]
    return eta_seconds(plan, known, pending, busy, sessions, estimated, lambda step: 1, time)


def factors(run: Run) -> list[float]:
    """How many times too long or too short, at each tenth of the run at which groups worked."""
    found = []
    for tenth in TENTHS:
        said = said_at(run, run.begin + tenth * run.seconds)
        if said is not None:
            truth = (1 - tenth) * run.seconds
            found.append(max(said / truth, truth / said) if said else float("inf"))
    return found


def first_curve(run: Run) -> float:
    """Seconds until a gain is known at two sizes."""
    plan = run.plan(run.records)
    scored: dict[tuple[str, str, int], dict[str, float]] = {}
    for cell in plan.cells:
        if cell.scored in run.ends:
            by_arm = scored.setdefault((cell.model, cell.target, cell.seed), {})
            by_arm[cell.arm] = min(by_arm.get(cell.arm, float("inf")), run.ends[cell.scored])
    gains: dict[str, float] = {}
    for (model, _, _), by_arm in scored.items():
        for arm, end in by_arm.items():
            if arm != "none" and "none" in by_arm:
                there = max(end, by_arm["none"])
                gains[model] = min(gains.get(model, float("inf")), there)
    return sorted(gains.values())[1] - run.begin


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Figures of these runs, and of the largest of them through the queue of today."""
    largest = max(runs, key=lambda run: len(run.records))
    alone = calm(runs)
    again = [
        replayed(
            alone.of(largest),
            groups,
            f"its steps by today's queue on a machine of its own, {groups} group(s)",
            alone.beside,
        )
        for groups in (2, 1)
    ]
    rows, every = [], list[float]()
    for run in (*runs, *again):
        found = factors(run)
        every += found
        least, most = slowed(run, alone)
        beside = f"; its tenths ran {least:.1f} to {most:.1f} times as long as alone"
        rows.append(
            {
                "figure": f"ETA against truth, {run.name}, {len(found)} tenths: median, worst",
                "target": f"<= {MEDIAN}, <= {WORST}",
                "value": f"{median(found):.2f}, {max(found):.2f}{beside * (run in runs)}",
                "met": median(found) <= MEDIAN and max(found) <= WORST,
            }
        )
    rows.append(
        {
            "figure": f"ETA against truth, all {len(runs) + len(again)} runs: median, worst",
            "target": f"<= {MEDIAN}, <= {WORST}",
            "value": f"{median(every):.2f}, {max(every):.2f}",
            "met": median(every) <= MEDIAN and max(every) <= WORST,
        }
    )
    for run in (largest, *again):
        early = first_curve(run)
        rows.append(
            {
                "figure": f"a gain at two sizes, {run.name}",
                "target": "<= a third of the run" if run is not largest else "shown",
                "value": f"{early / 60:.1f} of {run.seconds / 60:.1f} min,"
                f" {early / run.seconds:.0%}",
                "met": early <= EARLY * run.seconds if run is not largest else "-",
            }
        )
    return rows
