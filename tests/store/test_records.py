"""Records come back as they were written, also those of the schema before.

What is none is refused by the name of its file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scaling.store.files import StoreError
from scaling.store.records import CorruptRecord, EvalRow, StepRecord
from scaling.store.store import Store
from tests.helpers.step_records import STEP, record

ROW = EvalRow(language="de", split="test", metric="accuracy", n=4, value=0.5, chance=0.25)


def scored() -> StepRecord:
    return StepRecord(**{**vars(record()), "rows": [ROW], "files": {"a/b": "0" * 64}})


def unsigned(**fields: Any) -> str:
    """A record as they were written before they had a digest, with other fields."""
    raw = {**json.loads(scored().to_json()), **fields}
    raw.pop("digest")
    return json.dumps(raw)


def row(metric: str, depth: float | None) -> EvalRow:
    return EvalRow(
        language="de",
        split="test",
        metric=metric,
        depth=depth,
        n=10,
        value=0.5,
        chance=0.1,
        main=depth is None,
    )


def test_record_round_trip() -> None:
    assert StepRecord.from_json(scored().to_json(), "x") == scored()
    swept = replace(record(), rows=[row("accuracy", None), row("accuracy", 0.33)])
    assert StepRecord.from_json(swept.to_json(), "x") == swept


def test_a_record_without_a_digest_is_read() -> None:
    assert StepRecord.from_json(unsigned(), "x") == scored()


def fields_of(**fields: Any) -> list[dict[str, Any]]:
    return [{**vars(ROW), **fields}]


@pytest.mark.parametrize(
    "fields",
    [
        {"provenance": {**vars(record().provenance), "attempt": "../../x"}},
        {"provenance": {**vars(record().provenance), "attempt": 5}},
        {"provenance": {**vars(record().provenance), "more": 5}},
        {"cost": {**vars(record().cost), "wall_seconds": -1.0}},
        {"rows": fields_of(value=float("nan"))},
        {"rows": fields_of(value="0.9")},
        {"rows": fields_of(value=7.0)},
        {"rows": fields_of(chance=-0.1)},
        {"rows": fields_of(split="train")},
        {"rows": fields_of(n=0)},
        {"rows": fields_of(more=1)},
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


@pytest.mark.parametrize(
    "text", ["", "[]", "5", "null", "{}", '{"schema_version": 1}', "\ufffd", "[" * 99_999]
)
def test_what_is_no_record_at_all(text: str) -> None:
    with pytest.raises(CorruptRecord, match="place is not a record"):
        StepRecord.from_json(text, "place")


def test_a_number_that_was_changed_is_seen(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(scored())
    path = tmp_path / "records" / f"{STEP}.json"
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.75'))
    with pytest.raises(CorruptRecord, match=r"json .*its digest is another"):
        store.record(STEP)


def test_the_record_of_another_step_is_seen(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(scored())
    other = "iii.m.t.s0.0123456789ab"
    store.write(f"records/{other}.json", store.read(f"records/{STEP}.json"))
    with pytest.raises(CorruptRecord, match=rf"{other}.json is the record of {STEP}"):
        store.record(other)


def test_a_file_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.commit(scored())
    with pytest.raises(StoreError, match=r"a/b: SHA-256 is missing"):
        store.read_file(scored(), "a/b")
    store.write(f"attempts/{STEP}/o/a/b", "other")
    with pytest.raises(StoreError, match=r"a/b: SHA-256 is .*Delete records/.*.json"):
        store.read_file(scored(), "a/b")


def test_the_depth_of_schema_1_is_read_from_behind_the_metric() -> None:
    now = [
        ("accuracy", None, "accuracy"),
        ("accuracy", 0.33, "accuracy@0.33"),
        ("map_at_20", 1.0, "map_at_20@1"),
        ("mining_f1", 0.67, "mining@0.67_f1"),
    ]
    old = json.loads(record().to_json()) | {"schema_version": 1}
    del old["digest"]
    old["rows"] = [{**vars(row(before, depth)), "metric": before} for _, depth, before in now]
    for fields in old["rows"]:
        del fields["depth"]
    read = StepRecord.from_json(json.dumps(old), "x")
    assert read.rows == [row(metric, depth) for metric, depth, _ in now]
    assert read == replace(record(), rows=read.rows)


def test_a_schema_of_the_future_is_refused() -> None:
    text = json.dumps(json.loads(record().to_json()) | {"schema_version": 3})
    with pytest.raises(CorruptRecord, match="x has record schema 3, this code reads 1 and 2"):
        StepRecord.from_json(text, "x")
