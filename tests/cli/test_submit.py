"""`scaling cancel` stops the study that the store is of."""

from __future__ import annotations

from pathlib import Path

from scaling.store.store import Store
from tests.helpers.begun_study import SMALL
from tests.helpers.command import scaling
from tests.helpers.tiny import write_study


def test_cancel_refuses_another_studys_store(tmp_path: Path) -> None:
    path, store = write_study(tmp_path, SMALL), Store.open(tmp_path / "store")
    store.check_study("other")
    assert scaling("cancel", str(path), "--store", store.uri).returncode == 2
    assert not store.exists("stop.json")
