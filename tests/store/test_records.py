"""Records come back as they were written, and what is none is refused by the name of its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scaling.store.records import CorruptRecord, EvalRow, StepRecord
from scaling.store.store import Store, StoreError
from tests.helpers.step_records import STEP, record

ROW = EvalRow(language="de", split="test", metric="accuracy", n=4, value=0.5, chance=0.25)


def scored() -> StepRecord:
    return StepRecord(**{**vars(record()), "rows": [ROW], "files": {"a/b": "0" * 64}})


def unsigned(**fields: Any) -> str:
    """A record as they were written before they had a digest, with other fields."""
    raw = {**json.loads(scored().to_json()), **fields}
    raw.pop("digest")
    return json.dumps(raw)


def test_record_round_trip() -> None:
    assert StepRecord.from_json(scored().to_json(), "x") == scored()


def test_a_record_without_a_digest_is_read() -> None:
    assert StepRecord.from_json(unsigned(), "x") == scored()


def row(**fields: Any) -> list[dict[str, Any]]:
    return [{**vars(ROW), **fields}]


@pytest.mark.parametrize(
    "fields",
    [
        {"provenance": {**vars(record().provenance), "attempt": "../../x"}},
        {"provenance": {**vars(record().provenance), "attempt": 5}},
        {"provenance": {**vars(record().provenance), "more": 5}},
        {"cost": {**vars(record().cost), "wall_seconds": -1.0}},
        {"rows": row(value=float("nan"))},
        {"rows": row(value="0.9")},
        {"rows": row(value=7.0)},
        {"rows": row(chance=-0.1)},
        {"rows": row(split="train")},
        {"rows": row(n=0)},
        {"rows": row(more=1)},
        {"step": "ii.m.t.s0.0123456789ab"},
        {"identity": {"a": [1, 2.5, "y"]}},
        {"files": {"../x": "0" * 64}},
        {"files": {"/etc/x": "0" * 64}},
        {"files": {"x": "../../x"}},
        {"files": {"x": "0" * 63}},
        {"files": []},
        {"fingerprint": None},
    ],
)
def test_what_no_step_writes_is_no_record(fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptRecord, match=r"^place .*Delete it to run|^place has unknown"):
        StepRecord.from_json(unsigned(**fields), "place")


@pytest.mark.parametrize("text", ["", "[]", "5", "null", "{}", '{"schema_version": 1}', "\ufffd"])
def test_what_is_no_record_at_all(text: str) -> None:
    with pytest.raises(CorruptRecord, match="place is not a record"):
        StepRecord.from_json(text, "place")


def test_a_number_that_was_changed_is_seen(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(scored())
    path = tmp_path / "steps" / STEP / "record.json"
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.75'))
    with pytest.raises(CorruptRecord, match=r"record.json .*its digest is another"):
        store.record(STEP)


def test_the_record_of_another_step_is_seen(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(scored())
    other = "iii.m.t.s0.0123456789ab"
    store.write(f"steps/{other}/record.json", store.read(f"steps/{STEP}/record.json"))
    with pytest.raises(CorruptRecord, match=rf"{other}/record.json is the record of {STEP}"):
        store.record(other)


def test_a_file_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(scored())
    with pytest.raises(StoreError, match=r"a/b: SHA-256 is missing"):
        store.read_file(scored(), "a/b")
    store.write(f"steps/{STEP}/attempts/o/a/b", "other")
    with pytest.raises(StoreError, match=r"a/b: SHA-256 is .*Delete steps/.*/record.json"):
        store.read_file(scored(), "a/b")
