"""`scaling run --here`: a whole study in one process makes the records that Ray makes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

from scaling.cli import app
from scaling.cli.app import console
from scaling.cluster import here
from scaling.cluster.here import run_here
from scaling.planning.progress import current_plan
from scaling.store import stop
from scaling.store.leases import working
from scaling.store.pending import pending_steps
from scaling.store.records import StepRecord
from scaling.store.registration import registrations
from scaling.store.stop import ask_to_stop
from scaling.store.store import Store
from scaling.study import collapse
from scaling.study.plan import make_plan
from scaling.study.study import Study
from scaling.training import loop
from tests.helpers.tiny import write_study
from tests.helpers.whole_study import science, staged

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 600


@pytest.fixture
def small_study(tiny_study: dict[str, Any]) -> dict[str, Any]:
    """One size, which learns so little that its trainings are run again."""
    recipe = {**tiny_study["recipes"]["default"], "dropout": 0.1, "epochs": 2}
    return {
        **tiny_study,
        "models": ["tiny-1"],
        "targets": ["applications"],
        "languages": ["de"],
        "reruns": 1,
        "recipes": {"default": recipe},
    }


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Gets what commands in this process print."""
    printed = io.StringIO()
    monkeypatch.setattr(console, "file", printed)
    return printed


def said(shown: io.StringIO) -> str:
    """What was printed since the last look, on one line."""
    text = shown.getvalue()
    shown.truncate(shown.seek(0))
    return " ".join(text.split())


def scaling_run(study: Path, store: Path, *options: str) -> str:
    """What `scaling run` printed; the names of modules that it loaded come last."""
    script = (
        "import sys\n"
        "from scaling.cli import main\n"
        "try:\n    main()\nfinally:\n    print('loaded', 'ray' in sys.modules)\n"
    )
    # Not a pipe: Ray's own processes would hold it open.
    log = store.parent / f"{store.name}.log"
    with log.open("w") as stream:
        ended = subprocess.run(
            [sys.executable, "-c", script, "run", str(study), "--store", str(store), *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            stdout=stream,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    assert ended.returncode == 0, log.read_text()[-4000:]
    return log.read_text()


def timeless(record: StepRecord) -> dict[str, Any]:
    """A record without times, hosts and execution."""
    whole = asdict(record)
    for part, names in (
        ("cost", ("wall_seconds", "load_seconds", "work_seconds", "save_seconds")),
        ("provenance", ("attempt", "parent", "finished_at", "execution", "curve")),
    ):
        for name in names:
            del whole[part][name]
    return whole


@pytest.mark.ray
def test_the_records_are_those_of_a_run_with_ray(
    small_study: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    small_study["reruns"] = 0
    study = write_study(tmp_path, small_study)
    assert "loaded True" in scaling_run(study, tmp_path / "ray")
    assert "loaded False" in scaling_run(study, tmp_path / "here", "--here")
    again = scaling_run(study, tmp_path / "here", "--here")
    assert "nothing to run" in again
    assert "tiny: No verdict yet" in again
    with_ray, here = Store.open(tmp_path / "ray"), Store.open(tmp_path / "here")
    asked = [registrations(store) for store in (with_ray, here)]
    assert [len(found) for found in asked] == [1, 1]
    assert asked[0][0].sha256 == asked[1][0].sha256
    assert asked[0][0].records == asked[1][0].records == 0
    plan = current_plan(Study(**small_study), here)
    for step in plan.steps:
        assert timeless(here.record(step)) == timeless(with_ray.record(step)), step
    assert here.scan().weights == with_ray.scan().weights


def test_several_workers_are_one_of_the_same_batch(
    small_study: dict[str, Any], tmp_path: Path
) -> None:
    small_study["reruns"] = 0
    gang = {"default": {"workers": 4, "zero_stage": 1, "micro_batch": 2}}
    plan, store = staged({**small_study, "placement": gang}, tmp_path / "gang")
    alone = {"default": {"workers": 1, "zero_stage": 1, "micro_batch": 2}}
    other = staged({**small_study, "placement": alone}, tmp_path / "alone")
    lines: list[str] = []
    assert run_here(plan, store, lines.append).done == len(plan.steps) == len(lines)
    assert run_here(*other, lines.append).done == len(plan.steps)
    assert science(plan, store) == science(*other)
    assert {store.record(step).provenance.execution["workers"] for step in plan.steps} == {1}


def test_what_collapsed_is_run_again(
    small_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tiny study has too few dev examples to be judged by.
    monkeypatch.setattr(collapse, "JUDGED_EXAMPLES", 10)
    plan, store = staged(small_study, tmp_path)
    ended = run_here(plan, store, lambda line: None)
    grown = current_plan(plan.study, store)
    assert ended.plan.steps.keys() == grown.steps.keys()
    assert any(step.rerun for step in grown.steps.values())
    assert ended.done == len(grown.steps)
    assert not pending_steps(grown, store.scan())
    assert not store.scan().weights


def test_an_exception_comes_out_as_it_is_and_is_noted(
    small_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store = staged(small_study, tmp_path)

    def breaks(update: int, updates: int, recipe: object) -> float:
        raise ZeroDivisionError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr(loop, "learning_rate", breaks)
        with pytest.raises(ZeroDivisionError) as caught:
            run_here(plan, store, lambda line: None)
    assert any(frame.name == "breaks" for frame in caught.traceback)
    (failed,) = store.scan().failures
    # Nothing is held: the next run goes on at once.
    assert not working(store, store.leases().values())
    assert run_here(plan, store, lambda line: None).done >= len(make_plan(plan.study).steps)
    assert failed in store.scan().done


def test_a_request_to_stop_is_obeyed(
    small_study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The whole study may take less than the seconds between two looks.
    monkeypatch.setattr(stop, "REQUEST_SECONDS", 0.0)
    plan, store = staged(small_study, tmp_path)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        ask_to_stop(store, now=True)

    ended = run_here(plan, store, say)
    assert ended.stopped
    assert 1 <= ended.done < len(plan.steps)
    assert not working(store, store.leases().values())


def test_a_part_is_done_alone_and_the_rest_later(
    small_study: dict[str, Any], tmp_path: Path, shown: io.StringIO
) -> None:
    study = write_study(tmp_path, {**small_study, "reruns": 0})
    store = Store.open(tmp_path / "store")
    runner = CliRunner()
    given = ["run", str(study), "--store", store.uri, "--here"]
    wrong = runner.invoke(app, [*given, "--only", "arm=nnoe"])
    assert "Valid: none, word_order" in str(wrong.exception)
    assert not (tmp_path / "store").exists()
    over = runner.invoke(app, [*given, "--for", "soon"])
    assert "--for soon: no time" in str(over.exception)
    part = runner.invoke(app, [*given, "--only", "arm=none"])
    assert part.exit_code == 0, part.output
    plan = current_plan(Study(**{**small_study, "reruns": 0}), store)
    cells = {cell.arm: cell for cell in plan.cells}
    assert store.scan().done == {*cells["none"].trained, cells["none"].scored}
    left = len(plan.steps) - len(store.scan().done)
    assert f"{left} steps of the study are left. Run without --only" in said(shown)
    assert runner.invoke(app, [*given, "--only", "arm=none"]).exit_code == 0
    assert "nothing to run: all 2 steps of this part are done" in said(shown)
    runner.invoke(app, ["status", str(study), "--store", store.uri, "--only", "arm=none"])
    assert "2 of 2 steps done" in said(shown)
    rest = runner.invoke(app, given)
    assert rest.exit_code == 0, rest.output
    assert store.scan().done == plan.steps.keys()
    assert "No verdict yet" in said(shown)


def test_a_run_with_a_time_limit_stops_at_the_end_of_a_step(
    small_study: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shown: io.StringIO,
) -> None:
    study = write_study(tmp_path, {**small_study, "reruns": 0})
    store = Store.open(tmp_path / "store")
    begun: list[str] = []
    run_steps = here.run_steps

    def takes_an_hour(plan: Any, store: Any, steps: list[str], *rest: Any, **more: Any) -> Any:
        begun.extend(steps)
        found = run_steps(plan, store, steps, *rest, **more)
        now = time.time()
        monkeypatch.setattr(stop.time, "time", lambda: now + 3600)
        return found

    monkeypatch.setattr(here, "run_steps", takes_an_hour)
    given = ["run", str(study), "--store", store.uri, "--here", "--for", "1h"]
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 3, ended.output
    assert len(begun) == 1 and store.scan().done == set(begun)
    assert "steps are left. Run again to go on." in said(shown)


def test_an_address_and_a_budget_are_refused(small_study: dict[str, Any], tmp_path: Path) -> None:
    runner = CliRunner()
    study = write_study(tmp_path, small_study)
    store = ["--store", str(tmp_path / "store")]
    refused = runner.invoke(app, ["run", str(study), *store, "--here", "--address", "auto"])
    assert "names a Ray cluster" in str(refused.exception)
    assert not (tmp_path / "store").exists()
    costly = {**small_study, "dollars_per_device_hour": 1.0, "budget_dollars": 2.0}
    with pytest.raises(ValueError, match=r"tiny has a budget \(budget_dollars\)"):
        run_here(*staged(costly, tmp_path / "costly"), lambda line: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_its_own_number(
    small_study: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    study = write_study(tmp_path, {**small_study, "reruns": 0})
    store = Store.open(tmp_path / "store")
    with pytest.MonkeyPatch.context() as patched:
        # In the middle of a training, once.
        rate = loop.learning_rate

        def interrupts(update: int, updates: int, recipe: Any) -> float:
            patched.setattr(loop, "learning_rate", rate)
            signal.raise_signal(number)
            return rate(update, updates, recipe)

        patched.setattr(loop, "learning_rate", interrupts)
        ended = CliRunner().invoke(app, ["run", str(study), "--store", store.uri, "--here"])
    assert ended.exit_code == 128 + number, ended.output
    assert not working(store, store.leases().values())
    assert not store.scan().done
    assert not [path for path in (tmp_path / "store").rglob("attempts/*/*")]
