"""The time that a run has left: two numbers fitted to its finished steps, with re-runs and starts.

A step takes a fixed time (processes, files, Python) and a time in proportion to its estimate. One
ratio for both would be learnt from whatever size ran so far, and be wrong for the others.

Nobody can foresee who else will use the machine. How fast it is now says something about the next
minutes and little about the next hours, so the time left is told by as much work as is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from scaling.store.leases import Working
from scaling.store.records import StepRecord
from scaling.store.sessions import SessionCost
from scaling.study.steps import Plan


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What a step takes: `fixed` + `factor` × its estimate, seconds."""

    fixed: float
    factor: float

    def seconds(self, estimated: float) -> float:
        """Of a step with this estimate."""
        return self.fixed + self.factor * estimated


def fitted(estimated: Sequence[float], took: Sequence[float], idle: float) -> Fit:
    """Non-negative least squares over finished steps and one of no work.

    Steps of one estimate cannot tell the two numbers apart; the step of no work does it then. A
    step counts the less the longer it is, since what it takes varies with its length.

    Args:
        estimated: Seconds of finished steps, one at least.
        took: Seconds that they took.
        idle: Seconds that a step of no work would take.
    """
    usual = sum(estimated) / len(estimated) or 1.0
    points = [(0.0, idle), *zip(estimated, took, strict=True)]
    weights = [1.0 / (x + usual) for x, _ in points]

    def total(power: int, *, of_took: bool) -> float:
        return sum(
            weight * x**power * (y if of_took else 1.0)
            for weight, (x, y) in zip(weights, points, strict=True)
        )

    num, x, xx = (total(power, of_took=False) for power in range(3))
    y, xy = (total(power, of_took=True) for power in range(2))
    factor = (num * xy - x * y) / (num * xx - x * x) if xx else 0.0
    fixed = (y - factor * x) / num
    if factor < 0:
        return Fit(fixed=y / num, factor=0.0)
    return Fit(fixed=fixed, factor=factor) if fixed >= 0 else Fit(fixed=0.0, factor=xy / xx)


# Finished steps of a task from which on it has numbers of its own.
OWN_STEPS = 3


def _fits(
    plan: Plan, records: Mapping[str, StepRecord], estimated: Callable[[str], float]
) -> Callable[[str], float]:
    """Seconds of a step by what is done.

    An estimate may be off by another factor for each task, and for training and scoring it. So each
    has two numbers of its own once a few of its steps are done, and until then those of all
    trainings, or scorings, or steps.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in records:
        step = plan.steps[name]
        keys: tuple[tuple[str, ...], ...] = ((), (step.action,), (step.action, step.task))
        for key in keys:
            groups.setdefault(key, []).append(name)
    fits = {}
    for key, names in groups.items():
        if len(names) >= OWN_STEPS or not key:
            costs = [records[name].cost for name in names]
            fits[key] = fitted(
                [estimated(name) for name in names],
                [cost.wall_seconds for cost in costs],
                median(cost.load_seconds + cost.save_seconds for cost in costs),
            )

    def seconds(name: str) -> float:
        step = plan.steps[name]
        keys = ((step.action, step.task), (step.action,), ())
        return next(fits[key] for key in keys if key in fits).seconds(estimated(name))

    return seconds


def eta_seconds(
    plan: Plan,
    records: Mapping[str, StepRecord],
    pending: Sequence[str],
    busy: Sequence[Working],
    sessions: Iterable[SessionCost],
    estimated: Callable[[str], float],
    workers: Callable[[str], int],
    now: float,
) -> float | None:
    """Seconds until the last step is done, by the groups that are at work now or just start again.

    None before anything is done, or if nobody works.

    Args:
        plan: All steps, with the re-runs that are known to be needed.
        records: Of its steps that are done.
        pending: Steps that must run, parents first.
        busy: Who works on what, and how far.
        sessions: Every session of the study so far.
        estimated: Seconds of a step.
        workers: Of a step.
        now: Seconds since 1970.
    """
    if not records or not busy:
        return None
    sessions = list(sessions)
    usual = _fits(plan, records, estimated)
    left = {step: usual(step) for step in pending}
    for item in busy:
        if item.step in left:
            share = item.progress.get("done", 0) / max(1, item.progress.get("total", 1))
            left[item.step] *= 1.0 - min(1.0, share)
    for step, again in _expected_reruns(plan, records, pending).items():
        left[step] += again * sum(
            usual(one)
            for one in (step, *plan.children_of(step))
            if one == step or plan.steps[one].action == "eval"
        )
    start = _start_share(sessions, records)
    at_work = sum(workers(item.step) if item.step in plan.steps else 1 for item in busy)
    devices = at_work + _between_steps(sessions, records, busy, now)
    work = sum(own * workers(step) for step, own in left.items())
    longest: dict[str, float] = {}
    for step in reversed(pending):
        below = [longest[child] for child in plan.children_of(step) if child in longest]
        longest[step] = left[step] + max(below, default=0.0)
    pace = _pace_of(records, usual, sum(left.values()))
    return (1.0 + start) * pace * max(work / devices, max(longest.values(), default=0.0))


def _between_steps(
    sessions: Sequence[SessionCost],
    records: Mapping[str, StepRecord],
    busy: Sequence[Working],
    now: float,
) -> int:
    """Devices of groups that hold no step at this moment and are at work all the same.

    Their session gave a sign of life no longer ago than a start usually takes: they are between two
    steps, or at the first one, or in the start of their next session, which nobody sees yet.

    Args:
        sessions: Every session so far.
        records: Of steps that are done.
        busy: Who works.
        now: Seconds since 1970.
    """
    if not sessions:
        return 0
    since = now - median(session.start_seconds for session in sessions)
    at_work = {item.step for item in busy}
    devices, ended, first_end = 0, 0, now
    for session in sessions:
        if not at_work.isdisjoint(session.steps):
            continue
        if session.device_seconds is None:
            done = (records[step] for step in session.steps if step in records)
            signs = [datetime.fromisoformat(one.provenance.finished_at).timestamp() for one in done]
            if max(signs, default=session.asked_at + session.start_seconds) > since:
                devices += session.workers
            continue
        end = session.asked_at + session.device_seconds * session.sharing / session.workers
        if end > since:
            ended += session.workers
            first_end = min(first_end, end)
    # Whoever was asked for since then has taken the place of one.
    begun = sum(session.workers for session in sessions if session.asked_at >= first_end)
    return devices + max(0, ended - begun)


# Trainings in which half a collapse is assumed, beside those that are done.
ASSUMED_TRAININGS = 10
# Last steps that at least say how fast the machine is, and how many usual ones they are weighed
# against.
LAST_STEPS, USUAL_STEPS = 20, 5


def _pace_of(
    records: Mapping[str, StepRecord], usual: Callable[[str], float], left: float
) -> float:
    """How much longer steps take than they do on the whole: others use the machine.

    Told by the last steps, of as much work as is left: what was true for an hour holds for about
    another, and what was true for a minute for no longer.
    """
    took = expected = 0.0
    count = 0
    for step in sorted(records, key=lambda step: records[step].provenance.finished_at)[::-1]:
        if expected >= left and count >= LAST_STEPS:
            break
        took += records[step].cost.wall_seconds
        expected += usual(step)
        count += 1
    beside = expected * USUAL_STEPS / count
    return (took + beside) / (expected + beside) if expected else 1.0


def _expected_reruns(
    plan: Plan, records: Mapping[str, StepRecord], pending: Sequence[str]
) -> dict[str, float]:
    """Pending training → re-runs that it will need, by how many collapsed so far."""
    if not plan.study.reruns:
        return {}
    trained = [one.training for one in records.values() if one.training is not None]
    rate = (sum(one.collapsed for one in trained) + 0.5) / (len(trained) + ASSUMED_TRAININGS)
    return {step: rate for step in pending if step in plan.replaceable}


def _start_share(sessions: Iterable[SessionCost], records: Mapping[str, StepRecord]) -> float:
    """Seconds of ended sessions that belong to no step, against those of their steps.

    Starts, ends, and steps that failed. Of the starts alone before any session has ended.
    """
    beside = work = starts = 0.0
    for session in sessions:
        own = sum(records[step].cost.wall_seconds for step in session.steps if step in records)
        if session.device_seconds is None:
            starts += session.start_seconds
        else:
            beside += max(0.0, session.device_seconds / session.workers - own)
            work += own
    if work:
        return beside / work
    took = sum(record.cost.wall_seconds for record in records.values())
    return starts / (starts + took) if took else 0.0
