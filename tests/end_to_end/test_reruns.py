"""A training that collapsed by English dev data is run again with a new seed, and nothing starts
from it meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling.catalogue.hardware import Placement
from scaling.cluster.search import grow
from scaling.planning.queue import ReadyQueue
from scaling.store.garbage import drop_replaced
from scaling.store.paths import StepFolder
from scaling.store.pending import pending_steps
from scaling.store.store import Scan, Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.step_records import record_of
from tests.helpers.studies import BASE, LOCK

STUDY = {**BASE, "seeds": [0], "targets": ["xnli", "panx", "tatoeba"]}


def plan_of(collapsed: set[str], **changed: Any) -> Plan:
    return make_plan(Study(**{**STUDY, **changed}), LOCK, frozenset(collapsed))


def step_of(plan: Plan, start: str, rerun: int = 0) -> str:
    (found,) = [
        step.id for step in plan.steps.values() if step.id.startswith(start) and step.rerun == rerun
    ]
    return found


def test_a_plan_without_collapse_is_as_it_was() -> None:
    assert list(plan_of(set()).steps) == list(plan_of(set(), reruns=0).steps)
    collapsed = set(plan_of(set()).steps)
    assert list(plan_of(collapsed, reruns=0).steps) == list(plan_of(set()).steps)


def test_a_collapsed_phase_ii_is_replaced_for_everything_below() -> None:
    first = plan_of(set())
    # MNLI alone is phase ii of the arm and phase iii of XNLI without an arm: both see it collapse.
    bad = step_of(first, "iii.xlm-r-base.none-mnli.s0")
    grown = plan_of({bad})
    again = step_of(grown, "iii.xlm-r-base.none-mnli.s0r1", rerun=1)
    assert grown.steps[again].identity["seed"] == [0, 1]
    assert grown.steps[again].training_seed != grown.steps[bad].training_seed
    assert {grown.steps[child].action for child in grown.children_of(bad)} == {"eval"}

    def trainings(plan: Plan, above: str) -> int:
        return sum(plan.steps[child].action == "train" for child in plan.children_of(above))

    assert trainings(grown, again) == trainings(first, bad) > 0
    cells = {(cell.arm, cell.target): [] for cell in grown.cells}  # type: ignore[var-annotated]
    for cell in grown.cells:
        cells[cell.arm, cell.target].append(cell.rerun)
    # Both rows stay where the collapsed training itself is scored; what starts from it is run from
    # the re-run alone.
    assert cells["none", "xnli"] == [0, 1]
    assert cells["mnli", "panx"] == [1]
    assert cells["mnli", "tatoeba"] == [0, 1]
    assert cells["squad1", "panx"] == [0]


def test_two_reruns_at_most_and_then_the_last_is_used() -> None:
    bad: set[str] = set()
    for rerun in range(3):
        plan = plan_of(bad)
        bad.add(step_of(plan, "iii.xlm-r-base.none-mnli.s0", rerun))
    plan = plan_of(bad)
    last = step_of(plan, "iii.xlm-r-base.none-mnli.s0", 2)
    assert max(step.rerun for step in plan.steps.values()) == 2
    assert last not in plan.replaceable
    assert any(plan.steps[child].action == "train" for child in plan.children_of(last))


def test_controls_are_not_run_again() -> None:
    control = {"name": "shuffled", "train_on": ["mnli"], "control": "shuffled-labels"}
    plan = plan_of(set(), arms=["none", "mnli", control])
    bad = next(
        step.id for step in plan.steps.values() if step.phase == "ii" and step.arm == "shuffled"
    )
    assert list(plan_of({bad}, arms=["none", "mnli", control]).steps) == list(plan.steps)
    assert bad not in plan.replaceable


def test_a_queue_goes_on_with_the_rerun_and_leaves_what_it_replaced() -> None:
    plan = plan_of(set())
    nothing = Scan(done=frozenset(), weights=frozenset(), leases={}, failures={})
    pending = pending_steps(plan, nothing)
    queue = ReadyQueue(
        plan=plan,
        pending=pending,
        seconds=dict.fromkeys(pending, 3000.0),
        nodes=[1],
        placements=dict.fromkeys(pending, Placement()),
    )
    bad = step_of(plan, "iii.xlm-r-base.none-mnli.s0")
    done: list[str] = []
    now = 0.0
    while not queue.finished:
        taken = queue.take(now)
        assert taken is not None
        done += [step for step in taken[1] if step in queue.plan.steps]
        if bad in taken[1]:
            scan = Scan(
                done=frozenset(done),
                weights=frozenset(done),
                leases={},
                failures={},
                collapsed=frozenset([bad]),
            )
            grown = plan_of({bad})
            fresh = pending_steps(grown, scan)
            queue.extend(
                grown, fresh, dict.fromkeys(fresh, 3000.0), dict.fromkeys(fresh, Placement())
            )
        now += 1
        queue.close(taken[0], done.__contains__, now, None)
    assert set(done) == set(queue.plan.steps)
    assert len(done) == len(set(done))


def test_weights_of_a_replaced_training_go_when_its_scorings_are_done(tmp_path: Path) -> None:
    bad = step_of(plan_of(set()), "iii.xlm-r-base.none-mnli.s0")
    grown, store = plan_of({bad}), Store.open(tmp_path)
    store.commit(record_of(grown, bad))
    store.write(StepFolder(bad).collapsed, "{}")
    store.write(StepFolder(bad).weights_manifest(record_of(grown, bad).provenance.attempt), "{}")
    scorings = grown.children_of(bad)
    for scoring in scorings:
        drop_replaced(grown, store, store.scan())
        assert bad in store.scan().weights, "a scoring still starts from them"
        store.commit(record_of(grown, scoring))
    drop_replaced(plan_of({bad}, keep_weights="all"), store, store.scan())
    assert bad in store.scan().weights
    drop_replaced(grown, store, store.scan())
    assert bad not in store.scan().weights


def test_weights_of_the_last_rerun_stay_for_a_child_that_is_made_again(tmp_path: Path) -> None:
    bad: set[str] = set()
    for rerun in range(3):
        bad.add(step_of(plan_of(bad), "iii.xlm-r-base.none-mnli.s0", rerun))
    plan, store = plan_of(bad), Store.open(tmp_path)
    last = step_of(plan, "iii.xlm-r-base.none-mnli.s0", 2)
    store.write(
        StepFolder(last).weights_manifest(record_of(plan, last).provenance.attempt),
        "{}",
    )
    # Everything has its record but one scoring of a training whose own weights are gone.
    child = next(step for step in plan.children_of(last) if plan.steps[step].action == "train")
    below = plan.children_of(child)[0]
    for step in plan.steps:
        if step != below:
            store.commit(record_of(plan, step))
    for step in bad:
        store.write(StepFolder(step).collapsed, "{}")
    drop_replaced(plan, store, store.scan())
    assert last in store.scan().weights
    store.commit(record_of(plan, below))
    drop_replaced(plan, store, store.scan())
    assert last not in store.scan().weights


@pytest.mark.torch
def test_reruns_of_a_real_study(
    tiny_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing learns at this rate, so that every training collapses, is run again twice, and the
    last one is used.
    """
    # The tiny study has fewer dev examples than a real one must have to be judged.
    monkeypatch.setattr("scaling.study.collapse.JUDGED_EXAMPLES", 1)
    pytest.importorskip("torch")
    from scaling.encoders.engine import join_world
    from scaling.planning.progress import current_plan
    from scaling.store.tidy import tidy_rows
    from scaling.training.runner import run_steps
    from scaling.training.stage import stage

    recipe = {**tiny_study["recipes"]["default"], "learning_rate": 1e-12, "epochs": 1}
    content = {
        **tiny_study,
        "models": ["tiny-1"],
        "targets": ["applications"],
        "languages": ["de"],
        "reruns": 2,
        "recipes": {"default": recipe},
    }
    study, store, world = Study(**content), Store.open(tmp_path), join_world()
    first = current_plan(study, store, stage(study, store, None, lambda what: None))
    pending = pending_steps(first, store.scan())
    queue = ReadyQueue(
        plan=first,
        pending=pending,
        seconds=dict.fromkeys(pending, 1.0),
        nodes=[1],
        placements=dict.fromkeys(pending, Placement()),
    )
    now = 0.0
    started_from: set[str] = set()
    while not queue.finished:
        now += 20
        taken = queue.take(now)
        assert taken is not None
        ran = run_steps(
            queue.plan, store, taken[1], world, dict.fromkeys(taken[1], Placement(micro_batch=8))
        )
        for step, outcome in ran.items():
            if (
                outcome == "done"
                and queue.plan.steps[step].action == "train"
                and queue.plan.steps[step].parent
            ):
                started_from.add(str(queue.plan.steps[step].parent))
        scan = store.scan()
        grow(
            queue,
            scan,
            lambda plan, steps: (dict.fromkeys(steps, 1.0), dict.fromkeys(plan.steps, Placement())),
        )
        drop_replaced(queue.plan, store, scan)
        queue.close(taken[0], queue.done_in(scan), now, None)

    plan = current_plan(study, store)
    assert list(plan.steps) == list(queue.plan.steps)
    assert pending_steps(plan, store.scan()) == []
    trainings = [step for step in plan.steps.values() if step.action == "train"]
    assert sorted(step.rerun for step in trainings) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert started_from == {step.id for step in trainings if step.phase == "ii" and step.rerun == 2}
    losses = {store.record(step.id).training.first_loss for step in trainings if step.phase == "ii"}
    assert len(losses) == 3, "a re-run draws something else"
    rows = list(tidy_rows(plan, store))
    assert {row.rerun for row in rows if row.arm == "none"} == {0, 1, 2}
    assert {row.rerun for row in rows if row.arm == "word_order"} == {2, 3, 4}
    assert all(row.collapsed for row in rows)
    assert not store.scan().weights
