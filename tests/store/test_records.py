"""Records come back as they were written, also those of the schema before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scaling.store.records import CorruptRecord, EvalRow, StepRecord
from tests.helpers.step_records import record


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
    assert StepRecord.from_json(record().to_json(), "x") == record()
    swept = replace(record(), rows=[row("accuracy", None), row("accuracy", 0.33)])
    assert StepRecord.from_json(swept.to_json(), "x") == swept


def test_the_depth_of_schema_1_is_read_from_behind_the_metric() -> None:
    now = [
        ("accuracy", None, "accuracy"),
        ("accuracy", 0.33, "accuracy@0.33"),
        ("map_at_20", 1.0, "map_at_20@1"),
        ("mining_f1", 0.67, "mining@0.67_f1"),
    ]
    old = json.loads(record().to_json()) | {"schema_version": 1}
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
