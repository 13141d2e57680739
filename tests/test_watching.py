"""What a user sees of a study from its store alone: status, explain, logs, cancel."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import fs
from rich.console import Console

from scaling.cli.live import show_live, status_lines
from scaling.planning.progress import StatusReader, study_status
from scaling.store.leases import claim, new_owner
from scaling.store.logs import MOST_LINES, TailHandler, kept_log, log_lines
from scaling.store.paths import StepFolder
from scaling.store.records import Cost, EvalRow, Provenance, StepRecord
from scaling.store.sessions import note_end, note_start, spent_device_seconds
from scaling.store.stop import REQUEST_SECONDS, StopRequest, ask_to_stop
from scaling.store.store import Store, pause_after
from scaling.store.tidy import tidy_rows
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.conftest import write_study

ROOT = Path(__file__).parents[1]
SMALL = {
    "name": "small",
    "models": ["xlm-r-base"],
    "arms": ["none"],
    "targets": ["panx"],
    "seeds": [0],
    "gpu": "a100-80",
    "budget_dollars": 40,
}
ROWS = [EvalRow(language="en", split="test", metric="f1", n=10, value=0.5, chance=0.1)]
LOG = logging.getLogger("scaling.test")


def scaling(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scaling.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
        check=False,
    )


def record_of(plan: Plan, step: str) -> StepRecord:
    return StepRecord(
        step=step,
        fingerprint=plan.steps[step].fingerprint,
        identity=dict(plan.steps[step].identity),
        training=None,
        rows=[],
        files={},
        cost=Cost(
            wall_seconds=7200,
            load_seconds=1,
            work_seconds=7000,
            save_seconds=1,
            num_devices=2,
            device="A100",
        ),
        provenance=Provenance(
            attempt="other.1.aa", finished_at="", versions={}, commit="", execution={}
        ),
    )


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Plan, Store]:
    """A study file, its plan, and a store in which the training failed once and somebody tries
    again.
    """
    store = Store.open(tmp_path / "store")
    store.check_study("small")
    plan = make_plan(Study(**SMALL))  # type: ignore[arg-type]
    training = next(step for step in plan.steps.values() if step.action == "train")
    with pytest.raises(MemoryError), kept_log(store, "session-1", 1):
        LOG.info("starts on 2 workers", extra={"step": training.id})
        try:
            raise MemoryError("CUDA out of memory")
        except MemoryError:
            LOG.exception("failed", extra={"step": training.id})
            raise
    store.fail(
        training.id,
        "host.1.aa-1",
        {"error": "MemoryError: CUDA out of memory", "at": "2026-11-23", "rank": 1},
    )
    store.write(f"steps/{training.id}/attempts/host.1.aa/weights/part", "x" * 1_000_000)
    return write_study(tmp_path, SMALL), plan, store


def test_explain_says_why_who_and_what_went_wrong(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    training, scoring = plan.steps
    lease = claim(store, training, new_owner())
    assert lease is not None
    lease.progress = {"done": 3, "total": 9}
    lease._write()
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


def test_a_log_is_bounded_and_cheap(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    handler = TailHandler(store, "logs/s/0.log", 0)
    for number in range(3 * MOST_LINES):
        handler.handle(
            logging.LogRecord("scaling", logging.INFO, "", 0, "line %d", (number,), None)
        )
    # Nothing is written for every line.
    assert not store.exists("logs/s/0.log")
    handler.put()
    lines = log_lines(store)
    assert len(lines) == MOST_LINES
    assert lines[-1].endswith(f"line {3 * MOST_LINES - 1}")
    # Rank 1 has nothing of its own to say while all goes well.
    with kept_log(store, "s", 1):
        LOG.info("starts")
    assert not store.exists("logs/s/1.log")


def test_live_status_ends_with_the_study(small: tuple[Path, Plan, Store]) -> None:
    _, plan, store = small
    training, scoring = plan.steps
    store.delete(f"steps/{training}")
    store.write(f"steps/{training}/record.json", record_of(plan, training).to_json())
    shown = io.StringIO()
    console = Console(file=shown, width=160, force_terminal=True)
    watching = threading.Thread(target=show_live, args=(plan, store, console, 0.05), daemon=True)
    watching.start()
    time.sleep(0.3)
    assert watching.is_alive()
    store.write(f"steps/{scoring}/record.json", record_of(plan, scoring).to_json())
    watching.join(10)
    assert not watching.is_alive()
    assert "of $40.00" in shown.getvalue()


def test_status_says_what_was_spent_of_the_budget(small: tuple[Path, Plan, Store]) -> None:
    path, plan, store = small
    step = next(iter(plan.steps))
    store.write(f"steps/{step}/record.json", record_of(plan, step).to_json())
    said = scaling("status", str(path), "--store", store.uri).stdout
    # Two hours of two devices at the listed price.
    assert "spent $7.60 of $40.00" in said


def test_a_driver_obeys_requests_that_are_newer_than_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling.store.stop.REQUEST_SECONDS", 0.0)
    assert REQUEST_SECONDS > 0
    path, store = write_study(tmp_path, SMALL), Store.open(tmp_path / "store")
    before = StopRequest(store)
    assert before.how == ""
    assert "a driver looks" in scaling("cancel", str(path), "--store", store.uri).stdout
    assert before.how == "finish"
    later = StopRequest(store)
    assert later.how == ""
    ask_to_stop(store, now=True)
    assert (before.how, later.how) == ("now", "now")
    assert json.loads(store.read("stop.json"))["how"] == "now"


def test_cancel_refuses_another_studys_store(tmp_path: Path) -> None:
    path, store = write_study(tmp_path, SMALL), Store.open(tmp_path / "store")
    store.check_study("other")
    assert scaling("cancel", str(path), "--store", store.uri).returncode == 2
    assert not store.exists("stop.json")


def test_money_is_counted_as_the_budget_counts_it(small: tuple[Path, Plan, Store]) -> None:
    """Starts and failed work cost too: two device hours of a session of which nothing was
    finished.
    """
    _, plan, store = small
    session = {
        "asked_at": 0.0,
        "start_seconds": 60.0,
        "workers": 2,
        "steps": list(plan.steps),
        "device_seconds": 7200,
    }
    store.write("sessions/session-1.json", json.dumps(session))
    status = study_status(plan, store)
    assert status.dollars == pytest.approx(2 * 1.9)
    assert "spent $3.80 of $40.00" in status_lines(status, plan.study.budget_dollars)


def test_what_the_study_pays_is_the_price_in_every_sum(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    sums = {}
    for price in (None, 0.5):
        study = Study(**{**SMALL, "dollars_per_device_hour": price})
        plan = make_plan(study)
        *_, scoring = plan.steps
        for step in plan.steps:
            record = replace(record_of(plan, step), rows=ROWS if step == scoring else [])
            store.write(StepFolder(step).record, record.to_json())
        (row,) = tidy_rows(plan, store)
        status = study_status(plan, store)
        device_hours = spent_device_seconds([], store.records(plan.steps)) / 3600
        assert device_hours == 8
        assert row.dollars == pytest.approx(status.dollars)
        sums[price] = status.dollars
    assert sums == {None: pytest.approx(8 * 1.9), 0.5: pytest.approx(8 * 0.5)}


def test_a_second_look_lists_once_and_reads_only_what_is_new(
    small: tuple[Path, Plan, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan, store = small
    training, scoring = plan.steps
    listed: list[str] = []
    read: list[str] = []
    listing, content = Store.listing, Store.read

    def count_listing(self: Store, name: str, **options: bool) -> list[fs.FileInfo]:
        listed.append(name)
        return listing(self, name, **options)

    def count_read(self: Store, name: str) -> bytes:
        read.append(name)
        return content(self, name)

    store.write(StepFolder(training).record, record_of(plan, training).to_json())
    for session, ended in (("ended", True), ("at-work", False)):
        note_start(store, session, asked_at=time.time(), workers=1, steps=[training])
        if ended:
            note_end(store, session, 1)
    reader = StatusReader(store)
    before = reader.status(plan)
    monkeypatch.setattr(Store, "listing", count_listing)
    monkeypatch.setattr(Store, "read", count_read)
    assert reader.status(plan) == before
    assert sorted(listed) == ["sessions", "steps"]
    assert read == ["sessions/at-work.json"]
    store.write(StepFolder(scoring).record, record_of(plan, scoring).to_json())
    assert sum(reader.status(plan).done.values()) == 2
    assert read.count(StepFolder(scoring).record) == 1
    assert StepFolder(training).record not in read


def test_looking_takes_a_twentieth_of_the_time_at_most() -> None:
    assert pause_after(0.01, 1.0) == 1.0
    assert pause_after(3.0, 1.0) == 60.0
