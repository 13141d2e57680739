"""What a user sees of a study from its store alone: status, explain, logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.planning.progress import study_status
from scaling.store.failures import note_failure
from scaling.store.leases import claim, new_owner
from scaling.store.logs import kept_log
from scaling.store.store import Store
from scaling.study.steps import Plan
from tests.helpers.begun_study import LOG
from tests.helpers.command import scaling
from tests.helpers.far_store import far_store
from tests.helpers.step_records import record_of


def test_explain_says_why_who_and_what_went_wrong(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    training, scoring = plan.steps
    lease = claim(store, training, new_owner())
    assert lease is not None
    lease.progress = {"done": 3, "total": 9}
    lease.beat()
    said = scaling("explain", str(path), training, "--store", store.uri).stdout
    assert "ready to run" in said
    assert "attempt host.1.aa  left behind, 1.0 MB" in said
    assert "is at work, 3 of 9" in said
    assert "failed  2026-11-23  MemoryError: CUDA out of memory" in said
    assert "rank 1" in said
    assert "Traceback (most recent call last):" in said
    assert (
        f"waits for its parent {training}"
        in scaling("explain", str(path), scoring, "--store", store.uri).stdout
    )
    lease.release()


def test_logs_outlive_the_worker_and_can_be_asked_by_step(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    training, scoring = plan.steps
    with kept_log(store, "session-2", 0):
        LOG.info("starts on 2 workers", extra={"step": scoring})
    assert "CUDA out of memory" in scaling("logs", str(path), "--store", store.uri).stdout
    said = scaling("logs", str(path), scoring, "--store", store.uri).stdout
    assert "rank 0" in said
    assert "CUDA" not in said
    assert (
        len(
            scaling(
                "logs", str(path), training, "--store", store.uri, "-n", "2"
            ).stdout.splitlines()
        )
        == 2
    )
    refused = scaling("logs", str(path), "iii.nope", "--store", store.uri)
    assert refused.returncode == 2
    assert "Unknown step 'iii.nope'" in " ".join(refused.stderr.split())


def test_status_says_what_was_spent_of_the_budget(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    step = next(iter(plan.steps))
    store.write(f"records/{step}.json", record_of(plan, step).to_json())
    said = scaling("status", str(path), "--store", store.uri).stdout
    # Two hours of two devices at the listed price.
    assert "spent $7.60 of $40.00" in said


def test_what_a_worker_says_cannot_steer_the_terminal(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    training = next(iter(plan.steps))
    evil = "\x1b]0;title\x07\x1b[2J [/x] [bold] :x: KeyError: '[/INST]'"
    note_failure(store, training, "host.1.bb-0", {"error": evil, "at": "now"})
    with kept_log(store, "session-3", 0):
        LOG.info(evil, extra={"step": training})
    for command in (("explain", str(path), training), ("logs", str(path), training)):
        said = scaling(*command, "--store", store.uri).stdout
        assert "\x1b" not in said and "\x07" not in said
        assert "\\x1b[2J [/x] [bold] :x: KeyError: '[/INST]'" in said


def test_status_and_cancel_say_whether_anybody_is_at_work(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    assert "Nobody is at work here now" in scaling("status", str(path), "--store", store.uri).stdout
    asked = scaling("cancel", str(path), "--store", store.uri)
    assert asked.returncode == 0 and "nobody is at work in" in asked.stdout
    lease = claim(store, next(iter(plan.steps)), new_owner())
    assert lease is not None
    said = scaling("status", str(path), "--store", store.uri).stdout
    assert "Nobody is at work" not in said and "running  " in said
    asked = scaling("cancel", str(path), "--store", store.uri)
    assert asked.stdout == f"asked in {store.uri}; a driver looks every few seconds\n"
    lease.release()


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_another_studys_store_is_left_as_it_is(
    small: tuple[Path, Plan, Store], command: str, tmp_path: Path
) -> None:
    path, _, _ = small
    other = Store.open(tmp_path / "other")
    other.check_study("another")
    refused = scaling(command, str(path), "--store", other.uri)
    assert refused.returncode == 2
    assert "is the store of the study 'another', not of 'small'" in refused.stderr
    assert [item.name for item in Path(other.uri).rglob("*")] == ["study.json"]


def test_the_whole_store_is_counted(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    store.write("models/m/model.safetensors", b"x" * 7_000_000)
    store.write("data/task/rows.parquet", b"x" * 2_000_000)
    files = [item for item in Path(store.uri).rglob("*") if item.is_file()]
    whole = sum(item.stat().st_size for item in files)
    assert study_status(plan, store).num_bytes == whole > 10_000_000
    bucket = far_store(path.parent / "store")
    assert bucket.local is None
    # There a request shows a thousand files alone.
    assert study_status(plan, bucket).num_bytes is None
    assert "store 10 MB" in scaling("status", str(path), "--store", store.uri).stdout
