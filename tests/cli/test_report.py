"""A report from a store: rows, and the outcomes of single examples beside them."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from scaling.cli.app import app
from scaling.store.paths import StepFolder
from scaling.store.records import EvalRow
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import Study
from tests.helpers.step_records import record_of
from tests.helpers.tiny import write_study

STUDY = {
    "name": "small",
    "models": ["xlm-r-base", "xlm-r-large"],
    "arms": ["none", "mnli"],
    "targets": ["panx"],
    "languages": ["sw", "te"],
    "seeds": [0, 1, 2],
}


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, Store]:
    """A study file, and a store in which all of it was done: 50 examples a language."""
    study = Study(**STUDY)  # type: ignore[arg-type]
    plan, store = make_plan(study), Store.open(tmp_path / "store")
    store.check_study("small")
    rng = np.random.default_rng(0)
    for name, step in plan.steps.items():
        record = record_of(plan, name)
        if step.action == "eval":
            rows, tables = [], []
            for language in study.test_languages("panx"):
                right = rng.random(50) < 0.6 + 0.2 * ("mnli" in name)
                tables.append(
                    pl.DataFrame(
                        {
                            "key": [f"test.{language}"] * 50,
                            "id": [str(k) for k in range(50)],
                            "prediction": ["O"] * 50,
                            "span_correct": right.astype(float),
                            "span_predicted": np.ones(50),
                            "span_gold": np.ones(50),
                        }
                    )
                )
                value = float(right.mean())
                score = {"metric": "span_f1", "n": 50, "value": value, "chance": 0.0}
                rows.append(EvalRow(language=language, split="test", **score))  # type: ignore[arg-type]
            content = io.BytesIO()
            pl.concat(tables).write_parquet(content)
            folder = StepFolder(name).attempt(record.provenance.attempt)
            store.write(f"{folder}/outcomes.parquet", content.getvalue())
            digest = hashlib.sha256(content.getvalue()).hexdigest()
            record = replace(record, rows=rows, files={"outcomes.parquet": digest})
        store.commit(record)
    return write_study(tmp_path, STUDY), store


def test_outcomes_are_read_beside_the_rows(
    finished: tuple[Path, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Writing figures is most of the time of a report, and is tested elsewhere.
    monkeypatch.setattr("analysis.report.DRAWINGS", ())
    study, store = finished
    command = ["report", str(study), "--store", str(store.uri), "--out"]
    ran = CliRunner().invoke(app, [*command, str(tmp_path / "with")])
    assert ran.exit_code == 0, ran.output
    found = json.loads((tmp_path / "with" / "verdict.json").read_text())["examples"]
    assert found["item_se"] > found["beyond_the_seeds_se"] >= 0
    assert found["scores_without_outcomes"] == 0
    assert (tmp_path / "with" / "tables" / "gain_errors.csv").is_file()
