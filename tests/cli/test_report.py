"""A report from a store: rows, and the outcomes of single examples beside them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from scaling.catalogue.example import ROWS, STUDY
from scaling.cli.app import app, console
from scaling.cli.report import report
from scaling.spec import UserError
from scaling.store.curves import FILE, SCHEMA, write_curve
from scaling.store.paths import StepFolder
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import load_study
from tests.helpers.command import ROOT, scaling
from tests.helpers.finished_study import finished
from tests.helpers.step_records import training


def test_outcomes_are_read_beside_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Writing figures is most of the time of a report, and is tested elsewhere.
    monkeypatch.setattr("analysis.report.DRAWINGS", ())
    study, store = finished(tmp_path)
    screen = io.StringIO()
    monkeypatch.setattr(console, "file", screen)
    report(str(study), str(store.uri), tmp_path / "with")
    found = json.loads((tmp_path / "with" / "verdict.json").read_text())["examples"]
    assert found["item_se"] > found["beyond_the_seeds_se"] >= 0
    assert found["scores_without_outcomes"] == 0
    assert (tmp_path / "with" / "tables" / "gain_errors.csv").is_file()
    # The answer stands on the screen, and the page's address below it.
    lines = screen.getvalue().splitlines()
    answer = json.loads((tmp_path / "with" / "verdict.json").read_text())["answer"]
    assert answer["headline"] in lines
    assert answer["sentence"] in lines
    assert lines[-1] == f"report: {(tmp_path / 'with' / 'index.html').as_uri()}"


def test_trainings_that_collapsed_are_shown_though_a_curve_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.report.DRAWINGS", ())
    study, store = finished(tmp_path)
    plan = make_plan(load_study(str(study)))
    kept, lost, other = [step for step, one in plan.steps.items() if one.action == "train"][:3]
    for step, attempt in ((kept, "a"), (lost, "b")):
        _collapse(store, step, attempt)
    store.delete(f"{StepFolder(lost).attempt('b')}/{FILE}")
    report(str(study), str(store.uri), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    lines = page.partition('<details id="lost">')[2].partition("</details>")[0].splitlines()
    (with_curve,) = (line for line in lines if kept in line)
    assert "<polyline" in with_curve and "between 0.5 and 2" in with_curve
    (without,) = (line for line in lines if lost in line)
    assert "its file is damaged or missing" in without
    assert not any(other in line for line in lines)


def _collapse(store: Store, step: str, attempt: str) -> None:
    """Let a finished training have collapsed, with a curve of four points."""
    record = store.record(step)
    points = {"update": [1, 2, 3, 4], "loss": [2.0, 1.0, 0.75, 0.5]}
    rest = {name: [1.0] * 4 for name in SCHEMA.names if name not in points}
    digest = write_curve(store, step, attempt, pa.table(points | rest, schema=SCHEMA))
    provenance = replace(record.provenance, attempt=attempt, curve=digest)
    again = replace(record, training=training(), provenance=provenance)
    assert store.commit(again, replacing=record.provenance.attempt)
    store.mark_collapse(again)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    study, store = finished(tmp_path)
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "report"
    refused = scaling("report", str(study), "--store", str(store.uri), "--out", str(out))
    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines() == [
        f"error no report can be written into {out}: Not a directory"
    ]


WITHOUT_TORCH = """
import sys
from importlib.machinery import ModuleSpec
class Refusing:
    def find_spec(self, name, path=None, target=None):
        held = name in ("torch", "ray", "transformers", "deepspeed")
        return ModuleSpec(name, self) if held else None
    def create_module(self, spec):
        raise ImportError(f"{spec.name} is not there")
sys.meta_path.insert(0, Refusing())
import analysis.report
analysis.report.DRAWINGS = ()  # Most of the time; tested elsewhere.
from scaling.cli import main
sys.argv = ["scaling", "report", "--example", "--out", sys.argv[1]]
main()
"""


def test_the_example_needs_no_study_no_store_and_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "out")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads((tmp_path / "out" / "verdict.json").read_text())["answer"]
    lines = done.stdout.splitlines()
    assert answer["sentence"] in lines
    assert lines[-1] == f"report: {(tmp_path / 'out' / 'index.html').as_uri()}"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "nothing was trained here" in page
    assert "torch" not in done.stderr
    # README shows this, with lines broken to its width.
    shown = (ROOT / "README.md").read_text().partition("$ scaling report --example")[2]
    terminal = [line.strip() for line in shown.partition("\n\n")[0].splitlines()[1:]]
    assert terminal[-1].startswith("report: file://")
    assert " ".join(terminal[:-1]) in " ".join(lines)
    # What is on the page is the demo as it is planned, whole.
    found = pl.read_parquet(ROWS)
    plan = make_plan(load_study(STUDY))
    cells = {(cell.model, cell.arm, cell.target, cell.seed) for cell in plan.cells}
    assert set(found.select("model", "arm", "target", "seed").unique().iter_rows()) == cells
    assert ROWS.stat().st_size < 30_000


def test_the_example_has_rows_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--example", "demo"], ["--example", "--store", str(tmp_path)], []):
        with pytest.raises(UserError, match="--example"):
            app(["report", *words], standalone_mode=False)
    assert not list(tmp_path.iterdir())
