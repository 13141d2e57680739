"""Requests to stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.store.stop import REQUEST_SECONDS, StopRequest, ask_to_stop
from scaling.store.store import Store
from tests.helpers.begun_study import SMALL
from tests.helpers.command import scaling
from tests.helpers.tiny import write_study


def test_a_driver_obeys_requests_that_are_newer_than_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling.store.stop.REQUEST_SECONDS", 0.0)
    assert REQUEST_SECONDS > 0
    path, store = write_study(tmp_path, SMALL), Store.open(tmp_path / "store")
    store.check_study("small")
    before = StopRequest(store)
    assert before.how == ""
    said = scaling("cancel", str(path), "--store", store.uri).stdout
    assert "unless a driver is just starting" in said
    assert before.how == "finish"
    later = StopRequest(store)
    assert later.how == ""
    ask_to_stop(store, now=True)
    assert (before.how, later.how) == ("now", "now")
    assert json.loads(store.read("stop.json"))["how"] == "now"


def test_what_is_no_request_asks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.store.stop.REQUEST_SECONDS", 0.0)
    store = Store.open(tmp_path)
    asked = StopRequest(store)
    for text in ("", "[]", "{}", '{"id": "x", "how": "explode"}', '{"how": "now"}', "[" * 100_000):
        store.write("stop.json", text)
        assert asked.how == ""
    ask_to_stop(store, now=False)
    assert asked.how == "finish"
    # A worker of that driver, which begins later, sees it too; one of a later driver does not.
    assert StopRequest(store, asked.old).how == "finish"
    assert StopRequest(store).how == ""


def test_after_its_time_a_run_starts_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path)
    asked = StopRequest(store, until=1000.0)
    monkeypatch.setattr("scaling.store.stop.time.time", lambda: 999.0)
    assert asked.how == ""
    monkeypatch.setattr("scaling.store.stop.time.time", lambda: 1000.0)
    assert asked.how == "finish"
    monkeypatch.setattr("scaling.store.stop.REQUEST_SECONDS", 0.0)
    # What is asked of it goes further.
    ask_to_stop(store, now=True)
    assert asked.how == "now"
