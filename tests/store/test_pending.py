"""What of a plan must still run, and which weights must stay for it."""

from __future__ import annotations

import random
from typing import Any

from scaling.store.pending import must_run, pending_steps, unfinished_steps, weights_needed
from scaling.store.store import Scan
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.studies import BASE, LOCK


def plan_of(**changed: Any) -> Plan:
    study = {**BASE, "seeds": [0], "targets": ["xnli", "panx", "tatoeba"], **changed}
    return make_plan(Study(**study), LOCK)


def nothing(step: str) -> bool:
    return False


def test_asking_about_one_step_agrees_with_the_listing() -> None:
    plan, rng = plan_of(), random.Random(0)
    answers = set()
    for share in (0.0, 0.3, 0.7, 0.95, 1.0):
        for _ in range(20):
            done = frozenset(step for step in plan.steps if rng.random() <= share)
            weights = frozenset(step for step in done if rng.random() < 0.5)
            scan = Scan(done=done, weights=weights, leases={}, failures={})
            pending = pending_steps(plan, scan)
            for step in plan.steps:
                asked = must_run(step, plan, done.__contains__, weights.__contains__)
                assert asked == (step in pending)
                answers.add((plan.steps[step].action, asked))
    assert answers == {("train", True), ("train", False), ("eval", True), ("eval", False)}


def test_a_failed_step_and_what_starts_from_it_keep_no_study_unfinished() -> None:
    plan = plan_of()
    nothing_done = Scan(done=frozenset(), weights=frozenset(), leases={}, failures={})
    assert unfinished_steps(plan, nothing_done) == pending_steps(plan, nothing_done)
    failed = next(step for step in plan.steps if plan.steps[step].phase == "ii")
    lost, more = {failed}, {failed}
    while more:
        more = {child for step in more for child in plan.children_of(step)}
        lost |= more
    assert len(lost) > 2
    scan = Scan(done=frozenset(), weights=frozenset(), leases={}, failures={failed: 1})
    assert set(unfinished_steps(plan, scan)) == set(plan.steps) - lost


def test_weights_stay_for_a_pending_step_and_as_the_study_says() -> None:
    plan = plan_of()
    phases = {}
    for step in plan.steps.values():
        if step.action == "train":
            phases[step.phase] = step.id
    for keep, kept in (("none", set()), ("intermediate", {"ii"}), ("all", {"ii", "iii"})):
        keeping = plan_of(keep_weights=keep)
        for phase, step in phases.items():
            assert weights_needed(keeping, step, nothing) == (phase in kept)
            child = keeping.children_of(step)[0]
            assert weights_needed(keeping, step, {child}.__contains__)


def test_a_step_that_the_plan_does_not_have_has_no_phase_that_its_name_could_tell() -> None:
    for keep, needed in (("none", False), ("intermediate", True), ("all", True)):
        plan = plan_of(keep_weights=keep)
        assert weights_needed(plan, "iii.xlm-r-base.gone.s0.0123456789ab", nothing) is needed


def test_a_training_whose_record_was_lost_runs_again_for_it() -> None:
    plan = plan_of(arms=["none"], targets=["xnli"])
    [training] = [step for step in plan.steps.values() if step.action == "train"]
    scan = Scan(
        done=frozenset(plan.steps) - {training.id}, weights=frozenset(), leases={}, failures={}
    )
    # Its scorings are done, and without its record nobody knows whether it collapsed.
    assert pending_steps(plan, scan) == [training.id]
