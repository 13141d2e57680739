"""The time left: what is fitted, what re-runs and starts add, and a whole run against the truth."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from scaling.planning.eta import eta_seconds, fitted
from scaling.store.leases import Working
from scaling.store.records import StepRecord
from scaling.store.sessions import SessionCost
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.step_records import record_of, training

PLAN = make_plan(
    Study(
        name="s",
        models=("xlm-r-base", "xlm-r-large"),
        arms=("none", "mnli"),  # type: ignore[arg-type]
        targets=("xnli", "panx"),
        seeds=tuple(range(6)),
    )
)
STEPS = list(PLAN.steps)
# What steps are estimated to take: the larger size first, ten times as long.
ESTIMATES = {
    name: (400.0 if "large" in step.model else 40.0) * (1.0 if step.action == "train" else 0.25)
    for name, step in PLAN.steps.items()
}
ORDER = sorted(STEPS, key=lambda step: -ESTIMATES[step])


def finished_at(minute: float) -> str:
    """That many minutes after the clock's beginning."""
    return datetime.fromtimestamp(60 * minute, UTC).isoformat()


def done(step: str, seconds: float, *, collapsed: bool = False) -> StepRecord:
    record = record_of(PLAN, step)
    trained = training(dev_metric="accuracy", dev_score=0.3, dev_chance=0.3, collapsed=collapsed)
    return replace(
        record,
        training=trained if PLAN.steps[step].action == "train" else None,
        cost=replace(record.cost, wall_seconds=seconds, load_seconds=20.0, save_seconds=10.0),
        provenance=replace(record.provenance, finished_at=finished_at(ORDER.index(step))),
    )


def said(
    records: dict[str, StepRecord],
    plan: Plan = PLAN,
    groups: int = 1,
    sessions: tuple[SessionCost, ...] = (),
    now: float = 1e9,
) -> float:
    pending = [step for step in plan.steps if step not in records]
    busy = [Working(step=step, owner="", age_seconds=0.0, progress={}) for step in pending[:groups]]
    found = eta_seconds(
        plan, records, pending, busy, sessions, ESTIMATES.__getitem__, lambda step: 1, now
    )
    assert found is not None
    return found


def without_reruns() -> Plan:
    return replace(PLAN, replaceable=frozenset())


def test_two_numbers_are_found_again_and_none_is_negative() -> None:
    x = [1.0, 5.0, 20.0, 80.0]
    found = fitted(x, [30.0 + 0.5 * each for each in x], 30.0)
    assert (found.fixed, found.factor) == (pytest.approx(30), pytest.approx(0.5))
    assert found.seconds(10) == pytest.approx(35)
    falling = fitted([1.0, 10.0], [50.0, 20.0], 60.0)
    assert falling.factor == 0 and 20 < falling.fixed < 60
    steep = fitted([1.0, 10.0], [0.0, 50.0], 0.0)
    assert steep.fixed == 0 and steep.factor > 0
    # One estimate alone: a step of no work tells the two apart.
    alone = fitted([10.0, 10.0], [25.0, 25.0], 5.0)
    assert (alone.fixed, alone.factor) == (pytest.approx(5), pytest.approx(2))


def test_the_larger_size_first_does_not_hide_what_every_step_takes() -> None:
    """One ratio for all would say less than half of the truth at every moment but the last."""
    rng = random.Random(0)
    took = {step: (30.0 + 0.5 * ESTIMATES[step]) * rng.lognormvariate(0, 0.1) for step in STEPS}
    for tenth in range(1, 10):
        known = {step: done(step, took[step]) for step in ORDER[: len(ORDER) * tenth // 10]}
        truth = sum(took[step] for step in STEPS if step not in known)
        assert said(known, without_reruns()) == pytest.approx(truth, rel=0.25), tenth


def test_a_machine_that_others_use_now_is_told_by_as_much_work_as_is_left() -> None:
    usual = {step: 30.0 + 0.5 * ESTIMATES[step] for step in ORDER}

    def slow_since(first: int, last: int) -> float:
        """What is said after so many steps, over what the rest takes on a machine for itself."""
        known = {
            step: done(step, seconds * (2 if index >= first else 1))
            for index, (step, seconds) in enumerate(usual.items())
            if index < last
        }
        return said(known, without_reruns()) / sum(usual[step] for step in ORDER[last:])

    # Much is left: the slow half of an hour says half of what the next hour will be like.
    assert 1.45 < slow_since(20, 40) < 1.7
    # Little is left, and all steps of as much work were slow.
    assert 1.9 < slow_since(len(ORDER) - 32, len(ORDER) - 12) < 2.4
    # It was slow once, long ago.
    fast = {step: done(step, usual[step]) for step in ORDER[: len(ORDER) - 12]}
    fast |= {step: done(step, 2 * usual[step]) for step in ORDER[:30]}
    left = sum(usual[step] for step in ORDER[-12:])
    assert 0.7 < said(fast, without_reruns()) / left < 1.3


def test_a_group_between_two_steps_or_sessions_is_at_work() -> None:
    known = {step: done(step, ESTIMATES[step]) for step in ORDER[:30]}
    plan, now = without_reruns(), 60.0 * 30
    kept = {"start_seconds": 90.0, "workers": 1}
    working = SessionCost(asked_at=0.0, steps=(next(s for s in STEPS if s not in known),), **kept)
    between = SessionCost(asked_at=0.0, steps=(ORDER[29], ORDER[35]), **kept)
    ended = replace(between, asked_at=now - 1000, device_seconds=950.0)
    dead = replace(between, steps=(ORDER[20], ORDER[35]))
    gone = replace(ended, asked_at=now - 1200)
    begun = replace(between, asked_at=now - 40, steps=(ORDER[40],))

    def groups(*others: SessionCost) -> float:
        """How many times sooner all is done than if only the first were at work."""
        sessions = (working, *others)
        alone = said(known, plan, sessions=sessions, now=1e9)
        return alone / said(known, plan, sessions=sessions, now=now)

    assert groups(between) == pytest.approx(2)
    assert groups(ended) == pytest.approx(2)
    assert groups(begun) == pytest.approx(2)
    # Who took the place of one is no second group.
    assert groups(ended, begun) == pytest.approx(2)
    assert groups(dead) == groups(gone) == pytest.approx(1)


def test_re_runs_are_expected_as_often_as_they_were_needed() -> None:
    first = ORDER[: len(ORDER) // 2]
    calm = {step: done(step, ESTIMATES[step]) for step in first}
    trained = [step for step in first if PLAN.steps[step].action == "train"]
    # Every third collapsed.
    wild = calm | {step: done(step, ESTIMATES[step], collapsed=True) for step in trained[::3]}
    pending = [step for step in PLAN.replaceable if step not in calm]
    assert pending
    assert said(wild) > 1.1 * said(calm) > said(calm, without_reruns())


def test_starts_groups_and_the_longest_path_count() -> None:
    known = {step: done(step, ESTIMATES[step]) for step in ORDER[:30]}
    plan = without_reruns()
    alone = said(known, plan)
    assert said(known, plan, groups=2) == pytest.approx(alone / 2)
    # A group for every step: what is left is the longest chain.
    assert said(known, plan, groups=500) > alone / 500
    work = sum(record.cost.wall_seconds for record in known.values())
    ended = SessionCost(
        asked_at=0.0, start_seconds=9.0, workers=2, steps=tuple(known), device_seconds=2.4 * work
    )
    assert said(known, plan, sessions=(ended,)) == pytest.approx(1.2 * alone)
    begun = SessionCost(asked_at=0.0, start_seconds=work, workers=2, steps=tuple(known))
    assert said(known, plan, sessions=(begun,)) == pytest.approx(1.5 * alone)


def test_nothing_is_said_before_anything_is_done_or_if_nobody_works() -> None:
    known = {step: done(step, 1.0) for step in ORDER[:3]}
    busy = [Working(step=ORDER[5], owner="", age_seconds=0.0, progress={})]
    for records, workers in (({}, busy), (known, [])):
        assert (
            eta_seconds(
                PLAN, records, ORDER[3:], workers, (), ESTIMATES.__getitem__, lambda step: 1, 0.0
            )
            is None
        )
