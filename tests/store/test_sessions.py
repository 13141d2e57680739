"""Files of sessions that no session wrote: budgets are counted by them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from scaling.store.files import StoreError
from scaling.store.sessions import note_end, note_start, read_sessions, spent_device_seconds
from scaling.store.store import Store

GOOD = {"asked_at": 1.0, "start_seconds": 2, "workers": 1, "steps": ["a"], "device_seconds": 3.0}


def test_what_a_session_wrote_is_read(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    note_start(store, "one", asked_at=1.0, workers=2, steps=["a", "b"])
    assert read_sessions(store)["one"].steps == ("a", "b")
    note_end(store, "one", 2)
    store.write("sessions/two.json", json.dumps(GOOD))
    found = read_sessions(store)
    assert found["one"].device_seconds is not None
    assert found["two"].device_seconds == 3.0


@pytest.mark.parametrize(
    "change",
    [
        {"asked_at": "soon"},
        {"asked_at": float("nan")},
        {"device_seconds": float("inf")},
        {"device_seconds": "3"},
        {"workers": 0},
        {"workers": True},
        {"steps": "ab"},
        {"steps": [1]},
        {"steps": None},
    ],
)
def test_a_session_that_nobody_wrote_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    store = Store.open(tmp_path)
    store.write("sessions/one.json", json.dumps({**GOOD, **change}))
    with pytest.raises(StoreError, match=r"sessions/one\.json is broken .* delete it"):
        read_sessions(store)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "{}", "\ufffd", "[" * 100_000])
def test_what_is_no_session_at_all(tmp_path: Path, text: str) -> None:
    store = Store.open(tmp_path)
    store.write("sessions/one.json", text)
    with pytest.raises(StoreError, match=r"sessions/one\.json is broken"):
        read_sessions(store)


def test_a_session_that_shares_its_device_costs_its_part(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    note_start(store, "one", asked_at=time.time() - 100, workers=1, steps=["a"], sharing=4)
    (started,) = read_sessions(store).values()
    assert spent_device_seconds([started], {}) == pytest.approx(25, abs=1)
    assert note_end(store, "one", 1) == pytest.approx(25, abs=1)
