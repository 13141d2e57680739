"""All-or-nothing files, and folders that are no store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from scaling.lock import Lock
from scaling.records import StepRecord
from scaling.store import Store, StoreError
from tests.helpers.step_records import STEP, record


def test_first_record_stays(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(record())
    other = record()
    store.commit(StepRecord(**{**other.__dict__, "fingerprint": "other"}))
    assert store.record(STEP).fingerprint == "abc"
    assert store.scan().done == {STEP}


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    sizes = (10, 3_000_000)
    store.write("f", b"0" * sizes[0])
    stop = threading.Event()

    def rewrite() -> None:
        for index in range(40):
            store.write("f", bytes([48 + index % 2]) * sizes[index % 2])
        stop.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not stop.is_set():
        content = store.read("f")
        assert len(content) in sizes
        assert len(set(content)) == 1
    writer.join()


def test_lock_round_trip(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    lock = Lock(models={"m": {"weights": "a"}}, data={"t": {"test.en": "b"}})
    store.write_lock(lock)
    assert store.read_lock() == lock


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises((StoreError, OSError)):
        Store.open(tmp_path / "file" / "store").check_study("s")


def test_a_store_that_became_read_only_is_refused() -> None:
    # Nobody, root included, can make a folder there.
    with pytest.raises(StoreError, match="/proc/store cannot be written to"):
        Store.open("/proc/store").check_writable()


def test_unknown_scheme_is_refused() -> None:
    with pytest.raises(StoreError, match="ftp://x"):
        Store.open("ftp://x/y")
