"""What `--json` prints is one object, valid against the schema that the repository keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.catalogue import TASKS
from scaling.cli.app import app
from scaling.cli.listed import ShowOutput
from scaling.cli.ls import Things, names, things_called
from scaling.cli.outputs import OUTPUTS
from scaling.cli.stage import _print_looks, _print_staged
from scaling.data.layout import SourceLook
from scaling.data.manifest import StagedTask
from scaling.planning.progress import current_plan
from scaling.store.leases import claim, new_owner
from scaling.store.store import Store
from scaling.study.identity import Lock
from scaling.study.steps import Plan
from scaling.study.study import load_study
from tests.helpers.command import ROOT, scaling
from tests.helpers.finished_study import finished
from tests.helpers.step_records import record_of

jsonschema = pytest.importorskip("jsonschema")

KEPT = {name: json.loads((ROOT / f"docs/json/{name}.json").read_text()) for name in OUTPUTS}


def faults(name: str, printed: Any) -> list[str]:
    """What is wrong with an output by the schema in docs/json, by an independent validator."""
    checker = jsonschema.Draft202012Validator(KEPT[name])
    return [error.message for error in checker.iter_errors(printed)]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The one object that a command prints."""
    app([*arguments, "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_kept_schemas_are_those_of_today(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft202012Validator.check_schema(KEPT[name])
    app(["schema", "--of", name], standalone_mode=False)
    written = (ROOT / f"docs/json/{name}.json").read_text()
    assert capsys.readouterr().out == written, f"scaling schema docs/json/{name}.json --of {name}"


@pytest.fixture
def begun(small: tuple[Path, Plan, Store]) -> tuple[str, Plan, Store]:
    """A study whose training failed once, then was done, and whose scoring somebody is at."""
    path, _, store = small
    keys = ["train.en", "dev.en", *(f"test.{code}" for code in TASKS["panx"].languages)]
    model = {"weights": "w" * 64, "tokenizer": "t" * 64, "revision": ""}
    store.write_lock(
        Lock(models={"xlm-r-base": model}, data={"panx": {key: "d" * 64 for key in keys}})
    )
    plan = current_plan(load_study(str(path)), store)
    assert not plan.provisional
    return str(path), plan, store


def test_every_output_is_valid(
    begun: tuple[str, Plan, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    path, plan, store = begun
    at = ("--store", store.uri)
    training, scoring = plan.steps
    explained = said(capsys, "explain", path, training, *at)
    assert faults("explain", explained) == [] and explained["record"] is None

    store.write(f"records/{training}.json", record_of(plan, training).to_json())
    lease = claim(store, scoring, new_owner())
    assert lease is not None
    lease.progress = {"done": 3, "total": 9}
    lease.beat()
    status = said(capsys, "status", path, *at)
    assert faults("status", status) == []
    assert [(one["step"], one["done"]) for one in status["working"]] == [(scoring, 3)]
    assert status["sizes"][0]["done"] == {"ii": 0, "iii": 1, "eval": 0}
    assert status["dollars"] == pytest.approx(7.6)
    lease.release()

    explained = said(capsys, "explain", path, "iii", *at)
    assert faults("explain", explained) == []
    assert explained["step"] == training == explained["record"]["step"]

    planned = said(capsys, "plan", path, "--gpus", "8", "--steps", *at)
    assert faults("plan", planned) == []
    assert [step["done"] for step in planned["steps"]] == [True, False]
    assert planned["makespan_seconds"] >= planned["bound_seconds"] > 0

    name = f"attempts/{training}/host.9.bb/weights/part"
    store.write(name, "x" * 1000)
    could = said(capsys, "gc", path, *at)
    assert faults("gc", could) == []
    assert could["bytes"] >= 1000 and could["freed_bytes"] == 0 and store.exists(name)
    freed = said(capsys, "gc", path, "--yes", *at)
    assert faults("gc", freed) == []
    assert freed["freed_bytes"] == could["bytes"] and not store.exists(name)

    recipes = said(capsys, "recipes", path)
    assert faults("recipes", recipes) == [] and recipes["tasks"][0]["task"] == "panx"


@pytest.mark.parametrize("gpu", [["--gpu", "rtx4090-24"], ["--gpu", "a100-80"], []])
def test_a_plan_of_what_does_not_fit_is_valid_too(
    gpu: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = said(capsys, "plan", "xtreme_r", *gpu, "--store", str(tmp_path))
    assert faults("plan", planned) == []
    assert all((size["device_hours"] is None) == bool(size["problem"]) for size in planned["sizes"])


@pytest.mark.parametrize("studies", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_power_is_valid(studies: int, capsys: pytest.CaptureFixture[str]) -> None:
    power = said(capsys, "power", "demo", "--studies", str(studies))
    assert faults("power", power) == []
    assert len(power["rehearsal"]) == 3 * len(power["smallest_falls"])
    assert bool(power["rehearsal"]) == bool(studies) and power["advice"]


def test_rates_are_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = said(capsys, "rates", "rates", "--store", str(tmp_path))
    assert faults("rates", rates) == []
    assert rates["missing"] == list(load_study("rates").trained_tasks)


def test_what_is_cited_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cited = said(capsys, "cite", "demo", "--store", str(tmp_path))
    assert faults("cite", cited) == [] and cited["terms"] and cited["references"]


@pytest.mark.parametrize("things", Things)
def test_a_list_is_valid(
    things: Things, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = ("--study", "demo", "--store", str(tmp_path)) if things is Things.steps else ()
    listed = said(capsys, "ls", things, *of)
    assert faults("ls", listed) == [] and listed["kind"] == things and listed["rows"]
    listed["rows"][0]["unknown"] = 1
    assert faults("ls", listed)


def test_all_facts_of_every_name_are_valid() -> None:
    things = tuple(thing for name in dict.fromkeys(names()) for thing in things_called(name))
    shown = json.loads(ShowOutput(name="all", things=things).model_dump_json(by_alias=True))
    assert faults("show", shown) == [] and len(shown["things"]) == len(names())


@pytest.mark.parametrize("name", ["xnli", "xlm-r-xl", "sw", "h100-80", "demo"])
def test_what_is_shown_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "show", name)
    assert faults("show", shown) == [] and shown["name"] == name
    del shown["things"][0]["facts"][next(iter(shown["things"][0]["facts"]))]
    assert faults("show", shown)


def test_a_verdict_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, store = finished(tmp_path)
    answered = said(capsys, "verdict", str(study), "--store", str(store.uri))
    assert faults("verdict", answered) == []
    assert answered["answers"][0]["sentence"]


def test_what_is_staged_and_looked_at_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    task = StagedTask(
        task="panx",
        rows={"train": 20_000},
        languages=40,
        sources=(("hub:google/xtreme", "0123456789abcdef"),),
        licence="not given",
        defects={"empty_text": 2},
    )
    _print_staged("s", "/store", [task], ["panx: 2 texts are empty"])
    staged = json.loads(capsys.readouterr().out)
    assert faults("stage", staged) == [] and staged["tasks"][0]["rows"] == {"train": 20_000}
    look = SourceLook(
        what="task panx", source="hub:x", revision="", files=1, ending="parquet", faults=("gone",)
    )
    _print_looks("s", [look])
    looked = json.loads(capsys.readouterr().out)
    assert faults("stage-check", looked) == [] and not looked["would_stage"]


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda printed: printed.pop(key)


@pytest.mark.parametrize(
    "spoil",
    [
        _without("schema"),
        _without("protocol"),
        lambda printed: printed.update(schema=2),
        lambda printed: printed.update(unknown=1),
        lambda printed: printed["tasks"][0]["fields"][0].update(source=None),
    ],
)
def test_a_spoilt_output_is_found(
    spoil: Callable[[dict[str, Any]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    printed = said(capsys, "recipes", "demo")
    assert faults("recipes", printed) == []
    spoil(printed)
    assert len(faults("recipes", printed)) == 1


def objects(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, schema) of every object with keys of its own."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield place, schema
        for key, item in schema.items():
            yield from objects(item, f"{place}/{key}")
    elif isinstance(schema, list):
        for at, item in enumerate(schema):
            yield from objects(item, f"{place}/{at}")


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_kept_schema_refuses_a_missing_and_an_unknown_key_everywhere(name: str) -> None:
    found = list(objects(KEPT[name]))
    assert found and KEPT[name]["properties"]["schema"]["const"] == 1
    for place, one in found:
        assert one.get("additionalProperties") is False, place
        assert set(one["required"]) == set(one["properties"]), place


def test_nothing_else_is_on_standard_output_and_errors_stay_lines(tmp_path: Path) -> None:
    done = scaling("plan", "demo", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["schema"] == 1 and done.stderr == ""
    refused = scaling("status", "demo", "--json", cwd=tmp_path)
    assert refused.returncode == 2 and refused.stdout == ""
    both = scaling("status", "demo", "--json", "--live", cwd=tmp_path)
    assert both.returncode == 2 and "--json is one look" in both.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_is_json_where_standard_output_is_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    listed = scaling("ls", "tasks", "xnli", "--json", cwd=tmp_path)
    assert json.loads(listed.stdout)["rows"]
    assert json.loads(scaling("cite", "demo", "--json", cwd=tmp_path).stdout)["terms"]
    study, store = finished(tmp_path)
    answered = scaling("verdict", str(study), "--store", str(store.uri), "--json")
    assert answered.stdout.isascii() and json.loads(answered.stdout)["answers"]
    planned = json.loads(scaling("plan", "demo", "--json", cwd=tmp_path).stdout)
    assert any("×" in layout for size in planned["sizes"] for layout in size["placements"])
