"""Records are read once, and by everybody through one file that is never the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.store.index import NAME, WORTH
from scaling.store.local_files import LocalFiles
from scaling.store.records import CorruptRecord
from scaling.store.store import Store
from tests.helpers.far_store import far_store
from tests.helpers.step_records import STEP, record

MANY = WORTH + 10


def step(index: int) -> str:
    return f"{index:03d}.{STEP}"


@pytest.fixture
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that were read, in a store with many records."""
    store = far_store(tmp_path)
    store.check_study("s")
    for index in range(MANY):
        assert store.commit(record(step(index)))
    names: list[str] = []
    read = Store.read_tagged
    monkeypatch.setattr(
        Store, "read_tagged", lambda self, name: (names.append(name), read(self, name))[1]
    )
    return names


def all_records(folder: Path) -> set[str]:
    store = far_store(folder)
    found = store.records(store.scan().done)
    assert all(found[name] == record(name) for name in found)
    return set(found)


def test_records_are_read_once_by_everybody(tmp_path: Path, reads: list[str]) -> None:
    everything = {step(index) for index in range(MANY)}
    assert all_records(tmp_path) == everything
    assert sum(name.startswith("records/") for name in reads) == MANY
    reads.clear()
    assert all_records(tmp_path) == everything
    assert sorted(reads) == [NAME, "study.json"]
    # A few that are newer are read, and the index stays as it is.
    before = (tmp_path / NAME).read_bytes()
    far_store(tmp_path).commit(record(step(MANY)))
    reads.clear()
    assert all_records(tmp_path) == {*everything, step(MANY)}
    assert sorted(reads) == [NAME, f"records/{step(MANY)}.json", "study.json"]
    assert (tmp_path / NAME).read_bytes() == before


def test_a_record_that_was_altered_or_replaced_is_read_itself(
    tmp_path: Path, reads: list[str]
) -> None:
    all_records(tmp_path)
    assert far_store(tmp_path).commit(record(step(3), "o2"), replacing="o")
    store = far_store(tmp_path)
    assert store.records(store.scan().done)[step(3)].provenance.attempt == "o2"
    path = tmp_path / "records" / f"{step(5)}.json"
    path.write_text(path.read_text().replace('"wall_seconds": ', '"wall_seconds": 1'))
    with pytest.raises(CorruptRecord, match=f"{step(5)}.json"):
        store.records(store.scan().done)
    fresh = far_store(tmp_path)
    with pytest.raises(CorruptRecord, match=f"{step(5)}.json"):
        fresh.records(fresh.scan().done)
    path.unlink()
    assert set(store.records(store.scan().done)) == {
        step(index) for index in range(MANY) if index != 5
    }


@pytest.mark.parametrize(
    "harm",
    [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"{}", lambda raw: raw + raw],
)
def test_a_broken_index_is_made_again(
    tmp_path: Path, reads: list[str], harm: Callable[[bytes], bytes]
) -> None:
    everything = all_records(tmp_path)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(harm(whole))
    assert all_records(tmp_path) == everything
    reads.clear()
    assert all_records(tmp_path) == everything
    assert not [name for name in reads if name.startswith("records/")]


def test_who_may_not_write_reads_all_the_same(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("read-only")

    for name in ("write", "create", "replace", "delete"):
        monkeypatch.setattr(LocalFiles, name, refused)
    assert len(all_records(tmp_path)) == MANY
    assert not (tmp_path / NAME).exists()


def test_a_folder_has_no_index(tmp_path: Path, reads: list[str]) -> None:
    store = Store.open(tmp_path)
    assert len(store.records(store.scan().done)) == MANY
    assert not (tmp_path / NAME).exists()
    reads.clear()
    assert len(store.records(store.scan().done)) == MANY
    assert reads == []
