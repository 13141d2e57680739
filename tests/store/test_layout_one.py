"""A store of layout 1 is read where it lies; new work comes into layout 2."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.store.failures import failures_of, note_failure
from scaling.store.files import StoreError
from scaling.store.history import earlier_records
from scaling.store.layout_one import OldFolder
from scaling.store.paths import StepFolder
from scaling.store.records import StepRecord
from scaling.store.store import Store
from tests.helpers.far_store import far_store
from tests.helpers.step_records import STEP, record

OTHER = f"other.{STEP}"


def made_by(attempt: str, step: str = STEP) -> StepRecord:
    return record(step, attempt)


@pytest.fixture(params=["folder", "far"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """With a training that is done, has weights and collapsed, and a failed try of another step."""
    old = OldFolder(STEP)
    at = Store.open(tmp_path)
    at.write("study.json", json.dumps({"name": "s"}))
    at.write(old.record, made_by("old").to_json())
    at.write(old.collapsed, "{}")
    at.write(f"{old.weights('old')}/model.safetensors", "weights")
    at.write(old.weights_manifest("old"), "{}")
    at.write(f"{OldFolder(OTHER).failures}/o.json", json.dumps({"error": "old", "at": "then"}))
    lease = f"steps/{OTHER}/leases/elsewhere.1.aaaa.json"
    at.write(lease, "{}")
    # A marker that pyarrow left: an object of the folder's name; here one beside it.
    at.write(f"steps/{OTHER}/resume", "")
    hour_ago = time.time() - 3600
    os.utime(tmp_path / lease, (hour_ago, hour_ago))
    return Store.open(tmp_path) if request.param == "folder" else far_store(tmp_path)


def contents(store: Store) -> dict[str, str]:
    return {entry.name: entry.tag for entry in store.entries("")}


def test_it_is_read_in_place_and_nothing_is_written(store: Store) -> None:
    before = contents(store)
    assert store.is_of("s")
    with pytest.raises(StoreError, match="is the store of the study 's', not of 'x'"):
        store.is_of("x")
    scan = store.scan()
    assert scan.done == scan.weights == scan.collapsed == {STEP}
    assert scan.failures == {OTHER: 1}
    assert not scan.leases
    assert store.records(scan.done) == {STEP: made_by("old")}
    assert store.record(STEP) == made_by("old")
    assert store.is_done(STEP) and not store.is_done(OTHER)
    assert store.has_weights(made_by("old"))
    assert store.folder_of(made_by("old")).weights("old") == f"steps/{STEP}/attempts/old/weights"
    assert [failure.error for failure in failures_of(store, OTHER)] == ["old"]
    assert contents(store) == before


def test_new_work_comes_into_layout_2_and_old_code_refuses_the_store(store: Store) -> None:
    old = {name: tag for name, tag in contents(store).items() if name.startswith("steps/")}
    store.check_study("s")
    raw = json.loads(store.read("study.json"))
    assert (raw["study"], raw["layout"]) == ("s", 2)
    # What code of layout 1 compares with the study's name, and shows.
    assert raw["name"] == "s (layout 2, which needs a newer version of this project)"
    assert not store.commit(made_by("new"))
    note_failure(store, OTHER, "new-0", {"error": "new", "at": "now"})
    assert store.commit(made_by("new", OTHER))
    again = Store.open(store.local) if store.local else store
    again.check_study("s")
    assert again.scan().done == {STEP, OTHER}
    assert again.scan().failures == {OTHER: 2}
    assert [failure.error for failure in failures_of(again, OTHER)] == ["old", "new"]
    assert again.exists(f"records/{OTHER}.json")
    assert old.items() <= contents(store).items()


def test_weights_that_are_made_again_leave_the_old_record(store: Store) -> None:
    store.check_study("s")
    first = store.record(STEP)
    store.delete_weights(first)
    assert not store.scan().weights
    second = made_by("new")
    store.write(StepFolder(STEP).weights_manifest("new"), "{}")
    assert not store.commit(second, replacing="another")
    assert store.commit(second, replacing="old")
    counts = store.record(STEP)
    assert counts.provenance.attempt == store.counting_attempt(STEP) == "new"
    assert store.has_weights(counts)
    assert earlier_records(store, counts) == [first]
    assert store.records(store.scan().done) == {STEP: counts}
    assert not store.commit(made_by("late"), replacing="old")
    assert store.commit(made_by("third"), replacing="new")
    assert [one.provenance.attempt for one in earlier_records(store, store.record(STEP))] == [
        "new",
        "old",
    ]
    store.mark_collapse(replace(second, training=None))
    assert store.scan().collapsed == {STEP}


def test_old_code_that_works_there_is_waited_for(store: Store) -> None:
    before = store.read("study.json")
    store.write(f"steps/{OTHER}/leases/elsewhere.2.bbbb.json", "{}")
    with pytest.raises(StoreError, match=f"older version of this project works on {OTHER}"):
        store.check_study("s")
    assert store.read("study.json") == before


@pytest.mark.parametrize("layout", [3, "2", None])
def test_a_newer_layout_is_refused_before_anything_is_written(
    tmp_path: Path, layout: object
) -> None:
    store = Store.open(tmp_path)
    store.write("study.json", json.dumps({"study": "s", "layout": layout}))
    before = contents(store)
    for act in (lambda: store.check_study("s"), lambda: store.is_of("s"), store.scan):
        with pytest.raises(StoreError, match=f"has the layout {layout!r}, this version reads"):
            act()
    assert contents(store) == before
