"""How far a study is and what it took."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.cli.live import status_lines
from scaling.planning.progress import StatusReader, study_status
from scaling.store.files import Content, Entry
from scaling.store.leases import claim, new_owner
from scaling.store.paths import StepFolder
from scaling.store.records import EvalRow
from scaling.store.sessions import note_end, note_start, spent_device_seconds
from scaling.store.store import Store
from scaling.store.tidy import tidy_rows
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.begun_study import SMALL
from tests.helpers.far_store import far_store
from tests.helpers.step_records import record_of

ROWS = [EvalRow(language="en", split="test", metric="f1", n=10, value=0.5, chance=0.1)]


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


@pytest.mark.parametrize("is_far", [False, True])
def test_a_second_look_reads_only_what_is_new(
    small: tuple[Path, Plan, Store], monkeypatch: pytest.MonkeyPatch, is_far: bool
) -> None:
    _, plan, store = small
    training, scoring = plan.steps
    listed: list[str] = []
    read: list[str] = []
    listing, content = Store.entries, Store.read_tagged

    def count_listing(self: Store, name: str) -> list[Entry]:
        listed.append(name)
        return listing(self, name)

    def count_read(self: Store, name: str) -> Content:
        read.append(name)
        return content(self, name)

    store.write(StepFolder(training).record, record_of(plan, training).to_json())
    for session, ended in (("ended", True), ("at-work", False)):
        note_start(store, session, asked_at=time.time(), workers=1, steps=[training])
        if ended:
            note_end(store, session, 1)
    lease = claim(store, scoring, new_owner())
    assert lease is not None
    looked = far_store(store.local) if is_far else store
    reader = StatusReader(looked)
    before = reader.status(plan)
    monkeypatch.setattr(Store, "entries", count_listing)
    monkeypatch.setattr(Store, "read_tagged", count_read)
    after = reader.status(plan)
    assert (after.done, after.seconds, after.pending) == (
        before.done,
        before.seconds,
        before.pending,
    )
    # Where a look takes requests it is one, until a lease comes or goes.
    folders = ["collapsed", "failures", "leases", "records", "sessions", "weights"]
    assert sorted(listed) == (["leases"] if is_far else folders)
    assert read == []
    store.write(StepFolder(scoring).record, record_of(plan, scoring).to_json())
    lease.release(done=True)
    assert sum(reader.status(plan).done.values()) == 2
    assert read == [StepFolder(scoring).record]
