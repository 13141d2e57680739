"""The ready queue on a simulated clock: order, gangs, failures, and nothing run twice."""

from __future__ import annotations

import heapq
from typing import Any

import pytest

from scaling.plan import make_plan
from scaling.queue import MAX_TRIES, ReadyQueue, pending_steps
from scaling.store import Scan
from scaling.study import Study, load_study

NOTHING = Scan(done=frozenset(), weights=frozenset(), leases={}, failures={}, num_bytes=0)
STUDY: dict[str, Any] = {
    "name": "q",
    "models": ["xlm-r-base", "xlm-r-large"],
    "arms": ["none", "mnli", "squad1"],
    "targets": ["xnli", "panx", "tatoeba"],
    "seeds": [0, 1],
}


def queue_of(study: Study, slots: int, gangs: dict[str, int] | None = None, seconds: float = 60.0) -> ReadyQueue:
    plan = make_plan(study)
    pending = pending_steps(plan, NOTHING)
    cost = {"train": seconds, "eval": seconds / 4}
    return ReadyQueue(
        plan=plan, pending=pending, seconds={step: cost[plan.steps[step].action] for step in pending},
        workers=gangs or dict.fromkeys(study.models, 1), slots=slots,
    )  # fmt: skip


def simulate(queue: ReadyQueue) -> tuple[float, list[str]]:
    """(makespan, steps in the order in which they ended); checks parents and slots on the way."""
    now, done = 0.0, []
    running: list[tuple[float, str]] = []
    while not queue.finished:
        while (taken := queue.take(now)) is not None:
            name, steps = taken
            heapq.heappush(running, (now + 10 + sum(queue.seconds[step] for step in steps), name))
            assert queue.free_slots >= 0
        assert running, "the queue waits for nothing"
        now, name = heapq.heappop(running)
        for step in queue.running[name]:
            parent = queue.plan.steps[step].parent
            assert parent is None or parent in done
            assert step not in done
            done.append(step)
        queue.close(name, lambda step: True, now, None)
    return now, done


@pytest.mark.parametrize("slots", [1, 2, 5, 16])
def test_everything_runs_once_parents_first(slots: int) -> None:
    queue = queue_of(Study(**STUDY), slots)
    _, done = simulate(queue)
    assert sorted(done) == sorted(queue.pending)


def test_makespan_is_near_the_lower_bound() -> None:
    queue = queue_of(load_study("xtreme_r"), 32, seconds=600.0)
    work = sum(queue.seconds.values()) / 32
    makespan, _ = simulate(queue)
    assert makespan <= 1.1 * max(work, max(queue._path.values()))


def test_a_large_gang_is_not_starved() -> None:
    queue = queue_of(Study(**STUDY), 4, {"xlm-r-base": 1, "xlm-r-large": 4})
    _, done = simulate(queue)
    assert sorted(done) == sorted(queue.pending)


def test_children_follow_their_parent_in_one_session() -> None:
    queue = queue_of(Study(**STUDY), 1)
    taken = queue.take(0.0)
    assert taken is not None
    for earlier, later in zip(taken[1], taken[1][1:], strict=False):
        if queue.plan.steps[later].action == "eval" and queue.plan.steps[later].parent is not None:
            assert queue.plan.steps[later].parent == earlier or queue.plan.steps[earlier].action == "eval"


def test_a_step_that_keeps_failing_takes_its_descendants_and_nothing_else() -> None:
    queue = queue_of(Study(**STUDY), 2)
    bad = next(step for step in queue.pending if step.startswith("ii."))
    done: set[str] = set()
    now = 0.0
    for _ in range(200):
        now += 20
        taken = queue.take(now)
        if taken is None:
            if queue.finished:
                break
            continue
        name, steps = taken
        for step in steps:
            if step == bad:
                break
            done.add(step)
        failed = bad in steps
        queue.close(name, lambda step: step in done, now, "boom" if failed else None)
    assert queue.finished
    assert queue.failed[bad] == "boom"
    assert queue._tries[bad] == MAX_TRIES
    below = [step for step in queue.failed if step != bad]
    assert below
    assert all("failed" in queue.failed[step] for step in below)
    assert done | set(queue.failed) == set(queue.pending)


def test_a_step_that_somebody_else_has_is_looked_at_later() -> None:
    queue = queue_of(Study(**STUDY), 1)
    taken = queue.take(0.0)
    assert taken is not None
    queue.close(taken[0], lambda step: False, 1.0, None)
    again = queue.take(2.0)
    assert again is not None
    assert not set(again[1]) & set(taken[1])
    queue.close(again[0], lambda step: True, 20.0, None)
    later = queue.take(30.0)
    assert later is not None
    assert set(later[1]) & set(taken[1])


def test_nothing_pending_when_all_is_scored() -> None:
    plan = make_plan(Study(**STUDY))
    scored = frozenset(step.id for step in plan.steps.values() if step.action == "eval")
    scan = Scan(done=scored, weights=frozenset(), leases={}, failures={}, num_bytes=0)
    assert pending_steps(plan, scan) == []


def test_a_missing_scoring_brings_its_trainings_back() -> None:
    plan = make_plan(Study(**STUDY))
    missing = next(step for step in plan.steps.values() if step.action == "eval" and "mnli-panx" in step.id)
    scan = Scan(
        done=frozenset(plan.steps) - {missing.id}, weights=frozenset(), leases={}, failures={}, num_bytes=0
    )  # fmt: skip
    chain = [missing.id]
    while (parent := plan.steps[chain[0]].parent) is not None:
        chain.insert(0, parent)
    assert pending_steps(plan, scan) == chain
