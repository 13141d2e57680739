"""`scaling curves`: what is kept of trainings, as tables, one object, and for TensorBoard."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from scaling.cli import curves
from scaling.cli.app import app, console
from scaling.cli.outputs import OUTPUTS
from scaling.spec import UserError
from scaling.store.curves import SCHEMA, read_curve, write_curve
from scaling.store.files import StoreError
from scaling.store.paths import StepFolder
from scaling.store.store import Store
from scaling.study.steps import Plan
from tests.helpers.step_records import record_of, training

POINTS: list[dict[str, Any]] = [
    {
        "update": 10 * at,
        "loss": 2.0 / at,
        "learning_rate": 1e-5 * at,
        "gradient_norm": None if at == 3 else 1.0 + at,
        "tokens_per_second": 1000.0,
    }
    for at in range(1, 5)
]


@pytest.fixture
def trained(small: tuple[Path, Plan, Store]) -> tuple[str, str, Store]:
    """A study file, the id of its only training, which collapsed, and the store with its curve."""
    path, plan, store = small
    step = next(iter(plan.steps))
    record = record_of(plan, step)
    curve = pa.Table.from_pylist(POINTS, schema=SCHEMA)
    digest = write_curve(store, step, record.provenance.attempt, curve)
    store.commit(
        replace(
            record,
            training=training(updates=40, examples=320, tokens=9000),
            provenance=replace(record.provenance, curve=digest),
        )
    )
    return str(path), step, store


def said(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """What the command prints."""
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    monkeypatch.setattr(console, "_width", 200)
    app(["curves", *arguments], standalone_mode=False)
    return printed.getvalue()


def test_one_training_and_all_are_shown(
    trained: tuple[str, str, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, step, store = trained
    monkeypatch.setattr(curves, "has_all_letters", lambda: True)
    one = said(monkeypatch, path, "iii", "--store", store.uri)
    assert f"{step}  collapsed" in one
    assert "loss              █▃▁▁  0.5 to 2" in one
    assert "gradient norm     ▁▃█  2 to 5" in one
    assert [line.split()[1] for line in one.splitlines() if line.startswith("│")] == [
        "10",
        "20",
        "30",
        "40",
    ]
    monkeypatch.setattr(curves, "has_all_letters", lambda: False)
    every = said(monkeypatch, path, "--store", store.uri)
    assert step in every and "#:__" in every and "collapsed" in every


def test_the_object_is_valid(
    trained: tuple[str, str, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    path, step, store = trained
    app(["curves", path, step, "--json", "--store", store.uri], standalone_mode=False)
    found = OUTPUTS["curves"].model_validate_json(capsys.readouterr().out)
    (curve,) = json.loads(found.model_dump_json())["curves"]
    assert (curve["step"], curve["collapsed"]) == (step, True)
    assert curve["points"] == POINTS


def records_in(file: Path) -> Iterator[bytes]:
    """Records of TensorFlow's format: length, its checksum, content, its checksum."""
    content = file.read_bytes()
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + length]
        at += 16 + length


def test_tensorboard_gets_every_point_once(
    trained: tuple[str, str, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    path, step, store = trained
    out = tmp_path / "board"
    for _ in range(2):
        assert "1 trainings in" in said(
            monkeypatch, path, "--tensorboard", str(out), "--store", store.uri
        )
    (file,) = (out / step).iterdir()
    events = [Event.FromString(record) for record in records_in(file)]
    found = [
        (value.tag, event.step, value.simple_value)
        for event in events
        for value in event.summary.value
    ]
    wanted = [
        (quantity, point["update"], pytest.approx(point[quantity]))
        for point in POINTS
        for quantity in curves.QUANTITIES
        if point[quantity] is not None
    ]
    assert sorted(found) == sorted(wanted, key=lambda one: one[:2])
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        said(monkeypatch, path, "--tensorboard", str(tmp_path / "taken"), "--store", store.uri)


def test_what_has_no_curve_says_so(
    trained: tuple[str, str, Store],
    small: tuple[Path, Plan, Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, step, store = trained
    plan = small[1]
    scoring = next(one for one in plan.steps if one.startswith("eval."))
    with pytest.raises(UserError, match=f"scores and trains nothing; {step} is a training"):
        said(monkeypatch, path, scoring, "--store", store.uri)
    record = store.record(step)
    place = f"{StepFolder(step).attempt(record.provenance.attempt)}/curve.parquet"
    store.write(place, store.read(place) + b"x")
    with pytest.raises(StoreError, match="is damaged; no score rests on it"):
        read_curve(store, record)
    store.delete(place)
    with pytest.raises(StoreError, match="is missing; no score rests on it"):
        read_curve(store, record)
    older = replace(record, provenance=replace(record.provenance, curve=""))
    store.write(StepFolder(step).record, older.to_json())
    with pytest.raises(UserError, match="was trained before there were curves"):
        said(monkeypatch, path, step, "--store", store.uri)
    assert "no training with a curve" in said(monkeypatch, path, "--store", store.uri)
    store.delete(StepFolder(step).record)
    with pytest.raises(UserError, match="is not done"):
        said(monkeypatch, path, step, "--store", store.uri)
