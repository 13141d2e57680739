"""The ready queue on a simulated clock: order, gangs, nodes, failures, budget, and nothing run
twice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling.catalogue.hardware import Placement
from scaling.planning.queue import (
    LONGEST_SECONDS,
    MAX_TRIES,
    SESSION_SECONDS,
    SYSTEMATIC,
    ReadyQueue,
)
from scaling.planning.simulate import SpotLosses, lower_bound, simulate
from scaling.store.pending import pending_steps
from scaling.store.store import Scan
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study, load_study

NOTHING = Scan(done=frozenset(), weights=frozenset(), leases={}, failures={})
STUDY: dict[str, Any] = {
    "name": "q",
    "models": ["xlm-r-base", "xlm-r-large"],
    "arms": ["none", "mnli", "squad1"],
    "targets": ["xnli", "panx", "tatoeba"],
    "seeds": [0, 1],
}
SMALL = make_plan(Study(**STUDY))


def queue_of(
    plan: Plan,
    nodes: list[int],
    gangs: dict[str, int] | None = None,
    seconds: float = 60.0,
    by_task: Mapping[str, int] | None = None,
    sharing: Mapping[str, int] | None = None,
    **fields: Any,
) -> ReadyQueue:
    """Gangs by model; some tasks' steps have another one. `sharing` by model, of gangs of one."""
    gangs, by_task = gangs or dict.fromkeys(plan.study.models, 1), by_task or {}
    workers = {step.id: by_task.get(step.task, gangs[step.model]) for step in plan.steps.values()}
    placements = {
        step.id: Placement(
            workers=workers[step.id],
            sharing=(sharing or {}).get(step.model, 1) if workers[step.id] == 1 else 1,
        )
        for step in plan.steps.values()
    }
    pending = pending_steps(plan, NOTHING)
    cost = {"train": seconds, "eval": seconds / 4}
    return ReadyQueue(
        plan=plan,
        pending=pending,
        seconds={step: cost[plan.steps[step].action] for step in pending},
        placements=placements,
        nodes=nodes,
        **fields,
    )


def everything_of(queue: ReadyQueue, actual: Mapping[str, float], rng: random.Random) -> list[str]:
    """Run a queue to its end on a clock of its own, checking on the way what must hold always;
    steps as they ended.
    """
    now, ended = 0.0, []
    clocks: dict[str, tuple[float, list[str]]] = {}
    waited = 0
    while not queue.finished:
        while (taken := queue.take(now)) is not None:
            name, steps = taken
            assert not set(steps) & {step for _, busy in clocks.values() for step in busy}
            assert not set(steps) & set(ended)
            clocks[name] = now + queue.start_seconds + actual[steps[0]], list(steps)
            assert {queue.placements[step].devices for step in steps} == {queue.running[name].gang}
            used = [0.0] * len(queue.nodes)
            cells: dict[tuple[int, int], float] = {}
            for session in queue.running.values():
                assert sum(session.held.values()) == session.gang
                for node, count in session.held.items():
                    if session.cell is None:
                        used[node] += count
                    else:
                        at = node, session.cell
                        cells[at] = cells.get(at, 0.0) + count
            assert all(share <= 1 for share in cells.values())
            # A device that is shared at all is nobody else's.
            for node, _ in cells:
                used[node] += 1
            assert all(count <= size for count, size in zip(used, queue.nodes, strict=True))
            assert sum(used) <= queue.slots
            assert queue.budget is None or queue.spent + queue.reserved <= queue.budget * 1.0001
        if not clocks:
            waited += 1
            assert waited < 3, "the queue waits for nothing"
            now += 11
            continue
        waited = 0
        name = min(clocks, key=lambda item: clocks[item][0])
        now, steps_left = clocks[name]
        step = steps_left.pop(0)
        parent = queue.plan.steps[step].parent
        assert parent is None or parent in ended or parent not in queue.pending
        ended.append(step)
        if rng.random() < 0.5:
            queue.commit(step)
        if steps_left:
            clocks[name] = now + actual[steps_left[0]], steps_left
        else:
            del clocks[name]
            queue.close(name, ended.__contains__, now, None)
    return ended


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    base=st.integers(1, 4),
    large=st.integers(1, 8),
    seed=st.integers(0, 9),
    start=st.sampled_from([0.0, 25.0, 90.0]),
    most=st.sampled_from([0, 8]),
    panx=st.integers(1, 4),
    mnli=st.integers(1, 4),
    shared=st.sampled_from([1, 2, 4]),
)
def test_everything_runs_once_parents_first_on_devices_that_exist(
    sizes: list[int],
    base: int,
    large: int,
    seed: int,
    start: float,
    most: int,
    panx: int,
    mnli: int,
    shared: int,
) -> None:
    gangs, by_task = {"xlm-r-base": base, "xlm-r-large": large}, {"panx": panx, "mnli": mnli}
    if max(*gangs.values(), panx, mnli) > min(sum(sizes), most or 99):
        return
    rng = random.Random(seed)
    queue = queue_of(
        SMALL,
        sizes,
        gangs,
        by_task=by_task,
        sharing={"xlm-r-base": shared, "xlm-r-large": 2},
        start_seconds=start,
        most=most,
    )
    actual = {step: seconds * rng.lognormvariate(0, 1) for step, seconds in queue.seconds.items()}
    ended = everything_of(queue, actual, rng)
    assert sorted(ended) == sorted(queue.pending)


@settings(max_examples=40, deadline=None)
@given(
    budget=st.floats(0.01, 12.0),
    seed=st.integers(0, 9),
    large=st.sampled_from([1, 4]),
    panx=st.sampled_from([1, 2, 4]),
)
# Pays for a training and one of its scorings, not for all of them.
@example(budget=0.1328125, seed=0, large=1, panx=1)
def test_a_budget_admits_what_it_can_pay_and_names_the_rest(
    budget: float, seed: int, large: int, panx: int
) -> None:
    rng = random.Random(seed)
    queue = queue_of(
        SMALL,
        [4],
        {"xlm-r-base": 1, "xlm-r-large": large},
        by_task={"panx": panx},
        price=1 / 3600,
        budget=budget,
    )
    ended = everything_of(queue, queue.seconds, rng)
    assert queue.spent <= budget * 1.0001
    assert sorted([*ended, *queue.unfunded]) == sorted(queue.pending)
    if queue.unfunded:
        # What was left out could not be paid: not even the cheapest way to one more score.
        ready = [step for step in queue.unfunded if SMALL.steps[step].parent not in queue.unfunded]
        cheapest = min(
            25 * queue.placements[step].workers + to_a_score(step, queue) for step in ready
        )
        assert queue.spent + cheapest / 3600 > budget * 0.9999


def to_a_score(step: str, queue: ReadyQueue) -> float:
    """Device seconds of a step and of the cheapest way below it that is still open."""
    gang = queue.placements[step].workers
    below = [
        to_a_score(child, queue) + (25 * own if own != gang else 0)
        for child in SMALL.children_of(step)
        if child in queue.unfunded
        for own in (queue.placements[child].workers,)
    ]
    return queue.seconds[step] * gang + min(below, default=0.0)


def test_a_budget_counts_what_was_spent_before() -> None:
    queue = queue_of(SMALL, [4], price=1.0, budget=10.0, spent=10.0)
    assert queue.take(0.0) is None
    assert queue.finished
    assert queue.unfunded == queue.pending


def test_overruns_shrink_what_is_admitted() -> None:
    queue = queue_of(SMALL, [1], price=1 / 3600, budget=1.0, start_seconds=0.0)
    rng = random.Random(0)
    everything_of(queue, {step: 3 * seconds for step, seconds in queue.seconds.items()}, rng)
    assert queue.unfunded
    # One session can overrun by what its estimate lacked; the next ones know.
    assert queue.spent <= 1.0 + 3 * SESSION_SECONDS * 3 / 3600


def test_makespan_is_near_the_lower_bound() -> None:
    plan = make_plan(load_study("xtreme_r"))
    queue = queue_of(
        plan,
        [8] * 4,
        {"xlm-r-base": 1, "xlm-r-large": 1, "xlm-r-xl": 4, "xlm-r-xxl": 8},
        seconds=600.0,
    )
    bound = lower_bound(queue)
    found = simulate(queue)
    assert bound <= found.makespan <= 1.05 * bound


def test_lost_nodes_cost_time_and_nothing_else() -> None:
    plan = make_plan(load_study("xtreme_r"))
    gangs = {"xlm-r-base": 1, "xlm-r-large": 1, "xlm-r-xl": 4, "xlm-r-xxl": 8}
    queue = queue_of(plan, [8] * 4, gangs, seconds=600.0)
    bound = lower_bound(queue)
    found = simulate(queue, losses=SpotLosses(hours_between=12))
    assert found.lost_nodes > 5
    assert found.makespan <= 1.15 * bound
    assert queue.finished
    assert not queue.failed


def test_a_large_gang_is_not_starved_by_small_ones() -> None:
    """Small sessions of endless supply must not keep a node from ever being free."""
    plan = make_plan(Study(**{**STUDY, "seeds": list(range(8))}))
    queue = queue_of(plan, [4], {"xlm-r-base": 1, "xlm-r-large": 4}, start_seconds=0.0)
    # The large model comes first in line, but the node is never free at once: its sessions end at
    # different times.
    for step, seconds in queue.seconds.items():
        queue.seconds[step] = seconds * (3 if plan.steps[step].model == "xlm-r-large" else 1)
    queue.extend(plan, [], {}, {})
    rng = random.Random(1)
    actual = {step: seconds * rng.uniform(0.8, 1.2) for step, seconds in queue.seconds.items()}
    ended = everything_of(queue, actual, rng)
    first_large = next(index for index, step in enumerate(ended) if "large" in step)
    assert first_large < len(ended) // 4


def test_small_work_fills_the_gap_before_a_reservation_and_no_more() -> None:
    plan = make_plan(Study(**STUDY))
    queue = queue_of(plan, [4], {"xlm-r-base": 1, "xlm-r-large": 4}, start_seconds=0.0)
    seconds = {step: 200.0 if "base" in step else 1000.0 for step in queue.seconds}
    queue.extend(plan, [], seconds, {})
    # Hold one device for long, so that the large gang, which is first in line, has no room.
    queue._ready, kept = {1: queue._ready[1]}, {4: queue._ready[4]}
    held = queue.take(0.0)
    assert held is not None
    queue._ready.update(kept)
    ends = queue.running[held[0]].ends_at
    while (taken := queue.take(0.0)) is not None:
        assert queue.running[taken[0]].gang == 1
        assert queue.running[taken[0]].ends_at <= ends
    queue.close(held[0], lambda step: True, ends, None)
    for name in list(queue.running):
        queue.close(name, lambda step: True, ends, None)
    following = queue.take(ends)
    assert following is not None
    assert queue.running[following[0]].gang == 4


def test_gangs_fit_on_nodes_and_not_only_in_sum() -> None:
    queue = queue_of(SMALL, [4, 4], {"xlm-r-base": 3, "xlm-r-large": 3})
    while queue.take(0.0) is not None:
        pass
    assert len(queue.running) == 2
    assert queue.free_slots == 2


def test_a_gang_larger_than_any_node_spans_nodes() -> None:
    queue = queue_of(SMALL, [2, 2, 2], {"xlm-r-base": 1, "xlm-r-large": 4})
    ended = everything_of(queue, queue.seconds, random.Random(0))
    assert sorted(ended) == sorted(queue.pending)


def test_children_follow_their_parent_in_one_session() -> None:
    queue = queue_of(SMALL, [1])
    taken = queue.take(0.0)
    assert taken is not None
    for earlier, later in zip(taken[1], taken[1][1:], strict=False):
        if queue.plan.steps[later].action == "eval" and queue.plan.steps[later].parent is not None:
            assert (
                queue.plan.steps[later].parent == earlier
                or queue.plan.steps[earlier].action == "eval"
            )


def test_children_prefer_the_node_of_their_parent() -> None:
    queue = queue_of(SMALL, [1, 1, 1], seconds=LONGEST_SECONDS)
    homes: dict[str, int] = {}
    seen = set()
    now = 0.0
    while not queue.finished:
        taken = queue.take(now)
        assert taken is not None
        # All nodes are free for the first session of a round.
        parent = queue.plan.steps[taken[1][0]].parent
        if parent is not None:
            assert queue.running[taken[0]].held == {homes[parent]: 1}
            seen.add(homes[parent])
        while queue.take(now) is not None:
            pass
        now += 10
        for name, session in list(queue.running.items()):
            homes |= dict.fromkeys(session.steps, next(iter(session.held)))
            queue.close(name, lambda step: True, now, None)
    assert len(seen) > 1


def test_sessions_are_long_at_first_and_never_longer_than_they_need() -> None:
    queue = queue_of(make_plan(load_study("xtreme_r")), [8], seconds=100.0)
    taken = queue.take(0.0)
    assert taken is not None
    total = sum(queue.seconds[step] for step in taken[1])
    assert LONGEST_SECONDS <= total < LONGEST_SECONDS + 1000


def test_work_for_one_gang_at_a_time_is_one_session() -> None:
    queue = queue_of(SMALL, [2], {"xlm-r-base": 2, "xlm-r-large": 2}, seconds=20.0)
    assert sum(queue.seconds.values()) > SESSION_SECONDS
    taken = queue.take(0.0)
    assert taken is not None
    assert len(taken[1]) == len(queue.pending)


def test_a_commit_in_the_middle_of_a_session_frees_the_children() -> None:
    queue = queue_of(SMALL, [2], seconds=LONGEST_SECONDS)
    name, steps = queue.take(0.0) or ("", ())
    assert len([step for step in steps if SMALL.steps[step].action == "train"]) == 1
    trainings = [
        child for child in SMALL.children_of(steps[0]) if SMALL.steps[child].action == "train"
    ]
    while queue.take(0.0) is not None:
        pass
    assert not any(
        child in session.steps for session in queue.running.values() for child in trainings
    )
    done = Scan(done=frozenset([steps[0]]), weights=frozenset([steps[0]]), leases={}, failures={})
    assert queue.look(queue.done_in(done)) == [steps[0]]
    assert name in queue.running
    assert queue.look(queue.done_in(done)) == []


def test_a_training_without_its_weights_is_not_done_for_who_needs_them() -> None:
    queue = queue_of(SMALL, [2])
    parent = next(step for step in queue.pending if SMALL.children_of(step))
    scan = Scan(done=frozenset([parent]), weights=frozenset(), leases={}, failures={})
    assert not queue.done_in(scan)(parent)


def test_a_step_that_keeps_failing_takes_its_descendants_and_nothing_else() -> None:
    queue = queue_of(SMALL, [2])
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
    assert queue.tries(bad) == MAX_TRIES
    below = [step for step in queue.failed if step != bad]
    assert below
    assert all("failed" in queue.failed[step] for step in below)
    assert done | set(queue.failed) == set(queue.pending)


def test_a_fault_that_is_no_steps_own_ends_the_run_after_a_few() -> None:
    queue = queue_of(SMALL, [8], seconds=200.0)
    for number in range(3 * len(queue.pending)):
        taken = queue.take(float(number))
        if taken is None:
            break
        queue.close(taken[0], lambda step: False, float(number), "now  OutOfMemoryError: 3 GiB")
    assert queue.finished and queue.halted.startswith(f"{SYSTEMATIC} steps failed alike")
    assert number <= MAX_TRIES * SYSTEMATIC


@pytest.mark.parametrize("different", [True, False])
def test_other_failures_end_no_run(different: bool) -> None:
    """Such as losses of machines, which leave no word, and faults of the steps' own."""
    queue = queue_of(SMALL, [8], seconds=200.0)
    for number in range(2 * SYSTEMATIC):
        name, _ = queue.take(float(number))  # type: ignore[misc]
        error = f"now  Error{number}: boom" if different else "it died without a word"
        queue.close(name, lambda step: False, float(number), error)
    assert not queue.halted


def test_a_step_that_somebody_else_has_is_looked_at_later() -> None:
    queue = queue_of(SMALL, [2])
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


def test_nothing_pending_when_all_is_done_and_no_weights_are_left() -> None:
    scan = Scan(done=frozenset(SMALL.steps), weights=frozenset(), leases={}, failures={})
    assert pending_steps(SMALL, scan) == []


def test_a_missing_scoring_brings_its_trainings_back() -> None:
    missing = next(
        step for step in SMALL.steps.values() if step.action == "eval" and "mnli-panx" in step.id
    )
    scan = Scan(
        done=frozenset(SMALL.steps) - {missing.id}, weights=frozenset(), leases={}, failures={}
    )
    chain = [missing.id]
    while (parent := SMALL.steps[chain[0]].parent) is not None:
        chain.insert(0, parent)
    assert pending_steps(SMALL, scan) == chain


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_of_nothing_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match="budget_dollars"):
        Study(**{**STUDY, "budget_dollars": budget, "gpu": "h100-80"})


def test_a_budget_needs_a_price() -> None:
    with pytest.raises(ValueError, match="needs a price"):
        Study(**{**STUDY, "budget_dollars": 5.0})


def test_a_child_of_another_gang_size_waits_for_a_session_of_its_own() -> None:
    queue = queue_of(SMALL, [4], by_task={"panx": 2})
    parents = {
        step.parent
        for step in SMALL.steps.values()
        if step.task == "panx" and step.action == "train"
    } - {None}
    steps = [one for _ in range(4) for _, one in [queue.take(0.0) or ("", ())]]
    assert any(parents & set(one) for one in steps)
    for one in steps:
        assert len({queue.placements[step].workers for step in one}) <= 1
    ended = everything_of(
        queue_of(SMALL, [4], by_task={"panx": 2}), queue.seconds, random.Random(0)
    )
    assert sorted(ended) == sorted(queue.pending)


def test_an_error_that_would_come_again_is_not_tried_again() -> None:
    queue = queue_of(SMALL, [1])
    taken = queue.take(0.0)
    assert taken is not None
    queue.close(taken[0], lambda step: False, 1.0, "damaged rows", final=True)
    assert queue.failed[taken[1][0]] == "damaged rows"


def test_weights_that_are_lost_bring_their_training_back() -> None:
    plan = SMALL
    training = next(step for step in plan.steps if plan.steps[step].phase == "ii")
    queue = queue_of(plan, [1])
    queue.commit(training)
    assert queue.lost(pending_steps(plan, NOTHING)) == [training]
    queue.extend(plan, [training], queue.seconds, queue.placements)
    assert queue.lost(pending_steps(plan, NOTHING)) == []
    # Of a step that failed nothing is expected any more, so its parent is not needed.
    done = Scan(done=frozenset({training}), weights=frozenset(), leases={}, failures={})
    for child in plan.children_of(training):
        queue._fail(child, "an error")
    queue.commit(training)
    assert training in pending_steps(plan, done)
    assert queue.lost(pending_steps(plan, done)) == []


@pytest.mark.parametrize("devices", [1, 2, 8])
def test_where_the_order_costs_nothing_every_size_has_a_gain_early(
    devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of untrained weights first, then the first seed of every size; no later end."""
    plan = make_plan(Study(**{**STUDY, "seeds": [3, 0, 1, 2]}))
    queue = queue_of(plan, [devices], start_seconds=0.0)
    found = simulate(queue, told=(ended := dict[str, float]()))
    assert ended.keys() == plan.steps.keys()
    with monkeypatch.context() as patched:
        patched.setattr(ReadyQueue, "_ranks", lambda self: dict.fromkeys(self._open, 0))
        plain = simulate(queue_of(plan, [devices], start_seconds=0.0))
    assert found.makespan <= 1.03 * plain.makespan
    two = {name: gains_at(plan, ended, name) for name in plan.study.models}
    assert max(two.values()) <= found.makespan * (0.25 if devices < 8 else 0.4)
    untrained = [ended[name] for name, step in plan.steps.items() if step.seed is None]
    assert max(untrained) <= 0.1 * found.makespan


def gains_at(plan: Plan, ended: Mapping[str, float], model: str) -> float:
    """When the first gain of a size is known."""
    scored = {
        (cell.arm, cell.target, cell.seed): ended[cell.scored]
        for cell in plan.cells
        if cell.model == model
    }
    return min(
        max(end, scored["none", target, seed])
        for (arm, target, seed), end in scored.items()
        if arm != "none"
    )


def test_where_paths_decide_the_longest_comes_first() -> None:
    plan = make_plan(Study(**{**STUDY, "seeds": [3, 0]}))
    narrow = queue_of(plan, [200])
    assert set(narrow._rank.values()) == {0}
    wide = queue_of(plan, [2])
    assert set(wide._rank.values()) == {0, 1, 2, 3}
    # What a later seed's gains are over comes before them, and its training with it.
    for cell in plan.cells:
        step = plan.steps[cell.scored]
        if cell.seed == step.seed == 0:
            assert wide._rank[step.id] == (2 if cell.arm == "none" else 3), step.id
            assert cell.arm != "none" or wide._rank[step.parent or ""] == 2, step.id
    # What a first seed starts from is as early as the seed, also where all seeds share it.
    shared = make_plan(Study(**{**STUDY, "seeds": [3, 0], "intermediate_seed": 9}))
    ranks = queue_of(shared, [2])._rank
    assert {ranks[name] for name, step in shared.steps.items() if step.seed == 9} == {1}


def test_trainings_that_share_a_device_fill_it_and_leave_the_others_whole() -> None:
    gangs = {"xlm-r-base": 1, "xlm-r-large": 2}
    queue = queue_of(
        SMALL, [3], gangs, seconds=600.0, sharing={"xlm-r-base": 2}, price=1.0, budget=1e6
    )
    held = [queue.running[queue.take(0.0)[0]] for _ in range(3)]
    halves = [one for one in held if one.gang == 0.5]
    # A gang of two and two halves of the third device; then nothing is left.
    assert sorted(one.gang for one in held) == [0.5, 0.5, 2] and queue.take(0.0) is None
    assert halves[0].cell == halves[1].cell and queue.free_slots == 0
    # Half a device costs half.
    assert halves[0].dollars == pytest.approx(
        (queue.start_seconds + sum(queue.seconds[step] for step in halves[0].steps)) / 2
    )
    # One half ends: the other half still has the device, so that another half joins it.
    name = next(key for key, session in queue.running.items() if session is halves[0])
    queue.close(name, lambda step: True, 100.0, None)
    assert queue.free_slots == 0
    taken = queue.take(100.0)
    assert taken is None or queue.running[taken[0]].cell == halves[1].cell
