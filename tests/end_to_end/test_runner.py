"""A whole study in this process: every cell scored, nothing done twice, resumable in the middle of
a step.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from scaling.catalogue import TASKS
from scaling.encoders.checkpoint import BadWeights
from scaling.encoders.engine import join_world
from scaling.encoders.world import World
from scaling.planning.calibration import Calibration, measured_on, read_calibrations
from scaling.planning.forecast import forecast
from scaling.planning.placement import placements
from scaling.planning.progress import study_status
from scaling.planning.rates import choose, rate_scores
from scaling.store.curves import read_curve
from scaling.store.failures import failures_of
from scaling.store.files import StoreError
from scaling.store.history import earlier_records, remade_notes
from scaling.store.leases import claim, new_owner, working
from scaling.store.pending import pending_steps
from scaling.store.place import sha256
from scaling.store.records import CorruptRecord
from scaling.store.store import Store
from scaling.store.tidy import tidy_rows
from scaling.study.plan import make_plan
from scaling.study.study import Study
from scaling.training.loop import Losses, TrainingRun
from scaling.training.measure import calibrate
from scaling.training.resume import ResumePoint
from scaling.training.runner import run_steps
from scaling.training.stage import stage
from tests.helpers.forgetting import forget
from tests.helpers.whole_study import run_all, science, staged

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield join_world()


def test_a_study_runs_once_and_its_rows_are_complete(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged(tiny_study, tmp_path)
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert run_all(plan, store, world) == {}
    rows = list(tidy_rows(plan, store))
    expected = {
        (cell.model, cell.arm, cell.target, language)
        for cell in plan.cells
        for language in plan.study.test_languages(cell.target)
    }
    assert {(row.model, row.arm, row.target, row.language) for row in rows} == expected
    assert {row.language for row in rows if row.target == "applications"} == {
        "en",
        "de",
        "sw",
        "uk",
    }
    assert all(0 <= row.value <= 1 and row.n == 12 for row in rows)
    # keep_weights is none: every trained weight is gone once all scorings below it are there.
    assert not store.scan().weights
    status = study_status(plan, store)
    assert sum(status.done.values()) == len(plan.steps)
    assert not status.pending


def test_labels_in_another_order_than_those_that_were_trained_are_the_same_labels(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    task = TASKS["applications"].model_dump(mode="json", exclude_defaults=True)
    turned = {
        **task,
        "name": "turned",
        "train_on": ["applications"],
        "labels": [*task["labels"][2:], *task["labels"][:2]],
    }
    content = {
        **tiny_study,
        "models": ["tiny-1"],
        "arms": ["none"],
        "targets": ["applications", "turned"],
        "languages": ["de"],
        "define": {**tiny_study["define"], "tasks": [turned]},
    }
    plan, store = staged(content, tmp_path)
    assert set(run_all(plan, store, world).values()) == {"done"}
    guessed = {
        plan.steps[step].task: pq.read_table(
            io.BytesIO(store.read_file(store.record(step), "outcomes.parquet"))
        )["prediction"]
        for step in plan.steps
        if plan.steps[step].phase == "eval"
    }
    # So short a training makes a model that always says the same. Whatever it says by number, it
    # says it by name in both.
    assert len(guessed) == 2
    assert guessed["turned"].unique() == guessed["applications"].unique()


def test_a_check_of_learning_rates_runs_to_its_table(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    content = {**tiny_study, "targets": ["applications"], "learning_rates": [1e-4, 3e-3]}
    plan, store = staged(content, tmp_path)
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert pending_steps(plan, store.scan()) == []
    scores = rate_scores(plan, store)
    assert len(scores) == len(plan.steps) == 2 * 2 * 2
    assert {choice.task for choice in choose(scores)} == {"applications", "word_order"}
    # Nothing but English was read, and no language was scored.
    assert {key for keys in plan.lock.data.values() for key in keys} == {"train.en", "dev.en"}
    assert list(tidy_rows(plan, store)) == []


def test_two_runs_agree_to_the_bit(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    first = staged(tiny_study, tmp_path / "a")
    second = staged(tiny_study, tmp_path / "b")
    run_all(*first, world)
    run_all(*second, world)
    assert science(*first) == science(*second)


def test_weights_that_are_made_again_stay_until_all_who_need_them_had_them(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged({**tiny_study, "models": ["tiny-1"]}, tmp_path)
    run_all(plan, store, world)
    (parent,) = [step.id for step in plan.steps.values() if step.phase == "ii"]
    trained, scoring = sorted(
        plan.children_of(parent), key=lambda step: plan.steps[step].action, reverse=True
    )
    (below,) = plan.children_of(trained)
    assert not store.scan().weights
    for step in (scoring, below):
        forget(store, step)
    # By its record the training is done when the first scoring ends; it has yet to start from the
    # parent again.
    order = [parent, scoring, trained, below]
    assert set(pending_steps(plan, store.scan())) == set(order)
    assert set(run_steps(plan, store, order, world, placements(plan, None)).values()) == {"done"}
    assert not store.scan().weights


def test_a_finished_training_that_nothing_starts_from_is_not_made_again(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged({**tiny_study, "models": ["tiny-1"]}, tmp_path)
    run_all(plan, store, world)
    before = {step: store.read(f"records/{step}.json") for step in plan.steps}
    # The list of a driver that another one was faster than.
    again = run_steps(plan, store, list(plan.steps), world, placements(plan, None))
    assert set(again.values()) == {"skipped"}
    assert before == {step: store.read(f"records/{step}.json") for step in plan.steps}
    assert not store.scan().weights


def test_a_training_that_is_made_again_leaves_both_records(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged({**tiny_study, "models": ["tiny-1"]}, tmp_path)
    run_all(plan, store, world)
    training = next(step for step in plan.steps.values() if step.phase == "iii")
    (scoring,) = plan.children_of(training.id)
    first = store.record(training.id)
    forget(store, scoring)
    run_all(plan, store, world)
    second = store.record(training.id)
    assert second.provenance.replaces == first.provenance.attempt
    assert earlier_records(store, second) == [first]
    assert store.record(scoring).provenance.parent == second.provenance.attempt
    assert second.science() == first.science()
    (note,) = remade_notes(plan, store, store.records(plan.steps))
    assert note.startswith(f"{training.id} was trained 2 times")
    assert f"{second.provenance.attempt} of" in note and f"{first.provenance.attempt} of" in note
    # What somebody else did below it meanwhile: nothing starts from the weights any more.
    assert not store.scan().weights
    kept = f"history/{training.id}/{first.provenance.attempt}.json"
    store.write(kept, "{")
    with pytest.raises(StoreError, match=rf"{re.escape(kept)} is broken .* or delete it"):
        remade_notes(plan, store, store.records(plan.steps))
    store.delete(kept)
    (note,) = remade_notes(plan, store, store.records(plan.steps))
    assert "trained 2 times" in note
    assert f"attempt {first.provenance.attempt}, whose record is lost" in note


def test_damaged_weights_are_made_again_and_a_damaged_model_is_staged_again(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    content = {**tiny_study, "models": ["tiny-1"], "targets": ["applications"], "arms": ["none"]}
    calm = staged(content, tmp_path / "calm")
    run_all(*calm, world)
    plan, store = staged(content, tmp_path / "store")
    training, scoring = plan.steps
    assert run_steps(plan, store, [training], world, placements(plan, None)) == {training: "done"}

    def flip(folder: str) -> None:
        (file,) = (tmp_path / "store" / folder).glob("*.safetensors")
        content = bytearray(file.read_bytes())
        content[-9] ^= 4
        file.write_bytes(bytes(content))

    flip(f"attempts/{training}/{store.record(training).provenance.attempt}/weights")
    with pytest.raises(BadWeights, match="SHA-256"):
        run_steps(plan, store, [scoring], world, placements(plan, None))
    (failure,) = failures_of(store, scoring)
    assert f"model.safetensors in {store.uri}/attempts/{training}" in failure.error
    assert "is trained again" in failure.error and not failure.is_final
    assert pending_steps(plan, store.scan()) == [training, scoring]
    flip("models/tiny-1")
    with pytest.raises(BadWeights, match="SHA-256"):
        run_all(plan, store, world)
    assert failures_of(store, training)[-1].is_final
    with pytest.raises(StoreError, match=r"models/tiny-1 is not staged, or damaged.*stage"):
        run_all(plan, store, world)
    assert stage(plan.study, store, None, lambda what: None) == plan.lock
    run_all(plan, store, world)
    assert science(plan, store) == science(*calm)


def test_a_request_to_stop_is_obeyed_after_the_step(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    content = {**tiny_study, "models": ["tiny-1"], "targets": ["applications"], "arms": ["none"]}
    plan, store = staged(content, tmp_path)
    asked = iter([False, True])
    outcomes = run_steps(
        plan,
        store,
        list(plan.steps),
        world,
        placements(plan, None),
        stopped=lambda: next(asked),
    )
    assert list(outcomes.values()) == ["done", "stopped"]
    assert len(store.scan().done) == 1 and not working(store, store.leases().values())


class Killed(Exception):
    pass


@dataclass(frozen=True)
class Runs:
    """Unpickling it makes a file."""

    path: Path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def dies_at_30(context: Any, lease: Any) -> Any:
    """In the place of a training's progress: ends it after 30 updates."""

    def note(done: int, total: int) -> None:
        if done == 30:
            raise Killed

    return note


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_step_resumes_in_the_middle_with_the_same_numbers(
    tiny_study: dict[str, Any],
    tmp_path: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    stage: int,
) -> None:
    content = {
        **tiny_study,
        "models": ["tiny-1"],
        "targets": ["applications"],
        "recipes": {"default": {**tiny_study["recipes"]["default"], "dropout": 0.1}},
        "placement": {
            "default": {"workers": 1, "zero_stage": stage, "micro_batch": 4, "resume_every": 7}
        },
    }
    undisturbed = staged(content, tmp_path / "a")
    run_all(*undisturbed, world)

    plan, store = staged(content, tmp_path / "b")
    import scaling.training.actions as work

    with monkeypatch.context() as patched:
        patched.setattr(work, "_progress", dies_at_30)
        with pytest.raises(Killed):
            run_all(plan, store, world)
    interrupted = pending_steps(plan, store.scan())[0]
    assert store.exists(f"resume/{interrupted}/manifest.json")
    resumed: list[int] = []
    original = work.run_updates

    def spy(run: TrainingRun, *, resume: ResumePoint, **others: Any) -> Losses:
        resumed.append(0 if resume.found is None else 1)
        return original(run, resume=resume, **others)

    monkeypatch.setattr(work, "run_updates", spy)
    run_all(plan, store, world)
    assert resumed[0] == 1
    assert sum(resumed) == 1
    assert science(plan, store) == science(*undisturbed)
    # Nor is a point of the curve missing or there twice.
    curves = [
        read_curve(one, one.record(interrupted)).drop_columns("tokens_per_second")
        for one in (store, undisturbed[1])
    ]
    assert curves[0] == curves[1]
    updates = store.record(interrupted).training.updates  # type: ignore[union-attr]
    assert curves[0]["update"].to_pylist() == list(range(1, updates + 1))
    assert curves[0]["gradient_norm"].null_count == (updates if stage == 0 else 0)
    seconds = read_curve(store, store.record(interrupted))["tokens_per_second"].to_pylist()
    assert min(seconds) > 0


@pytest.mark.parametrize("harm", ["truncated", "manifest", "pickles"])
def test_a_harmed_resume_point_is_not_used(
    tiny_study: dict[str, Any],
    tmp_path: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    import scaling.training.actions as work

    content = {**tiny_study, "models": ["tiny-1"]}
    content["placement"] = {
        "default": {"workers": 1, "zero_stage": 1, "micro_batch": 8, "resume_every": 7}
    }
    calm = staged(content, tmp_path / "calm")
    plan, store = staged(content, tmp_path / "harmed")
    step = next(iter(plan.steps))
    run_steps(*calm, [step], world, placements(plan, None))

    with monkeypatch.context() as patched:
        patched.setattr(work, "_progress", dies_at_30)
        with pytest.raises(Killed):
            run_steps(plan, store, [step], world, placements(plan, None))
    if harm == "manifest":
        store.write(f"resume/{step}/manifest.json", '{"at": 28, "by_r')
    elif harm == "pickles":
        # Forged, with the right hashes, as whoever can write to the store could.
        name = f"resume/{step}/manifest.json"
        manifest = json.loads(store.read(name))
        for file in manifest["by_rank"][0]:
            path = tmp_path / "harmed" / "resume" / step / "28.1" / file
            if path.suffix == ".pt":
                path.write_bytes(pickle.dumps(Runs(tmp_path / "it-ran")))
                manifest["by_rank"][0][file] = sha256(path)
        store.write(name, json.dumps(manifest))
        with pytest.raises(BadWeights, match="safetensors"):
            run_steps(plan, store, [step], world, placements(plan, None))
        assert not (tmp_path / "it-ran").exists()
        assert "the step begins anew" in str(failures_of(store, step)[-1])
    else:
        shards = list((tmp_path / "harmed").glob(f"resume/{step}/28.*/**/*.pt"))
        assert shards
        os.truncate(shards[0], shards[0].stat().st_size // 2)
    assert run_steps(plan, store, [step], world, placements(plan, None)) == {step: "done"}
    assert store.record(step).science() == calm[1].record(step).science()
    assert not store.names(f"resume/{step}")


def test_a_step_with_a_live_lease_is_left_alone(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged(tiny_study, tmp_path)
    step = next(iter(plan.steps))
    lease = claim(store, step, new_owner())
    assert lease is not None
    child = plan.children_of(step)[0]
    try:
        assert run_steps(plan, store, [step, child], world, placements(plan, None)) == {
            step: "taken",
            child: "blocked",
        }
    finally:
        lease.release()


def test_adding_a_seed_keeps_what_is_done(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged({**tiny_study, "models": ["tiny-1"]}, tmp_path)
    run_all(plan, store, world)
    more = make_plan(
        Study(**{**tiny_study, "models": ["tiny-1"], "seeds": [0, 1]}), store.read_lock()
    )
    todo = pending_steps(more, store.scan())
    assert todo
    assert all(".s1." in step for step in todo)


def test_adding_a_target_makes_deleted_weights_again(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    small = {**tiny_study, "models": ["tiny-1"], "targets": ["applications"]}
    plan, store = staged(small, tmp_path)
    run_all(plan, store, world)
    before = {step: store.record(step) for step in plan.steps}
    wider, store = staged({**small, "targets": ["applications", "messages"]}, tmp_path)
    todo = pending_steps(wider, store.scan())
    assert [wider.steps[step].phase for step in todo].count("ii") == 1
    run_all(wider, store, world)
    for step, record in before.items():
        assert store.record(step).science() == record.science()


def test_another_studys_store_is_refused(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.check_study("other")
    with pytest.raises(StoreError, match="the store of the study 'other', not of 'tiny'"):
        stage(Study(**tiny_study), store, None, lambda what: None)


def test_changed_data_under_a_store_are_refused(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    _, store = staged(tiny_study, tmp_path)
    changed = Study(**{**tiny_study, "limits": {"train": 40, "dev": 30, "test": 12}})
    with pytest.raises(StoreError, match=r"train\.en differ from those in the store's lock file"):
        stage(changed, store, None, lambda what: None)


def test_a_corrupt_record_names_itself(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    plan, store = staged(tiny_study, tmp_path)
    step = next(iter(plan.steps))
    store.write(f"records/{step}.json", '{"schema_version": 1, "step": ')
    with pytest.raises(CorruptRecord, match=rf"{step}.json is not a record"):
        study_status(plan, store)


def test_a_sharded_step_leaves_nothing_behind(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    """ZeRO-3 shards what is loaded, and puts another matrix product into torch: not for the next
    step of a session.
    """
    content = {
        **tiny_study,
        "arms": ["none"],
        "targets": ["applications"],
        "languages": ["de"],
        "placement": {
            "tiny-1": {"zero_stage": 3, "micro_batch": 8},
            "tiny-2": {"zero_stage": 1, "micro_batch": 8},
        },
    }
    import torch

    own = {"tiny-2": content["placement"]["tiny-2"]}
    alone = staged({**content, "models": ["tiny-2"], "placement": own}, tmp_path / "alone")
    torch.nn.functional.linear = torch._C._nn.linear
    assert set(run_all(*alone, world).values()) == {"done"}
    plan, store = staged(content, tmp_path / "after")
    assert [plan.steps[step].model for step in pending_steps(plan, store.scan())] == [
        "tiny-1"
    ] * 2 + ["tiny-2"] * 2
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert {step: store.record(step).science() for step in alone[0].steps} == science(*alone)


def test_calibration_measures_what_later_plans_use(
    tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    plan, store = staged({**tiny_study, "models": ["tiny-1"]}, tmp_path)
    ((name, measured),) = calibrate(plan, store, None, 1)
    assert name == "tiny-1" and isinstance(measured, Calibration)
    assert measured.device == "cpu" and measured.tokens_per_second > 0 and measured.peak_bytes > 1e8
    found = forecast(plan, store.read_sizes(), None, measured_on(read_calibrations(store), None))
    assert "measured on cpu" in found.sizes[0].basis
