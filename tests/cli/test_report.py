"""A report from a store: rows, and the outcomes of single examples beside them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from scaling.cli.app import console
from scaling.cli.report import report
from tests.helpers.command import scaling
from tests.helpers.finished_study import finished


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


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    study, store = finished(tmp_path)
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "report"
    refused = scaling("report", str(study), "--store", str(store.uri), "--out", str(out))
    assert refused.returncode == 2
    assert refused.stderr.strip().splitlines() == [
        f"error no report can be written into {out}: Not a directory"
    ]
