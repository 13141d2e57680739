"""The answer of a study, as the terminal says it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from scaling.cli.app import console
from scaling.cli.verdict import verdict
from scaling.store.paths import StepFolder
from scaling.store.registration import LOOKS
from scaling.study.plan import make_plan
from scaling.study.study import load_study
from tests.helpers.command import scaling
from tests.helpers.finished_study import finished


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the console prints."""
    text = io.StringIO()
    monkeypatch.setattr(console, "file", text)
    return text


def test_it_says_who_is_helped_by_how_much_at_both_ends(
    tmp_path: Path, screen: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    study, store = finished(tmp_path, num_seeds=5)
    verdict(str(study), str(store.uri))
    text = screen.getvalue()
    # 20 points were added; 1,000 examples behind each end leave a few points of noise.
    ends = [float(value) for value in re.findall(r": \+([\d.]+) points \(95 % interval", text)]
    assert len(ends) == 2
    assert all(12 < value < 28 for value in ends)
    for word in ("mnli helped", "Swahili, Telugu", "on panx", "(Base)", "(Large)"):
        assert word in text
    verdict(str(study), str(store.uri), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["answers"][0]["sentence"] in text
    assert len(list(store.names(LOOKS))) == 1


def test_one_seed_gets_neither_interval_nor_verdict(tmp_path: Path, screen: io.StringIO) -> None:
    study, store = finished(tmp_path, num_seeds=1)
    verdict(str(study), str(store.uri))
    text = screen.getvalue()
    assert "cannot be said" in text
    for word in ("interval", "helped", "harmed", "GROWS", "DIMINISHES", "EQUIVALENT"):
        assert word not in text


def test_a_study_without_scores_has_none_and_one_without_a_store_is_refused(
    tmp_path: Path, screen: io.StringIO
) -> None:
    study, store = finished(tmp_path, num_seeds=1)
    for step in make_plan(load_study(str(study))).steps:
        store.delete(StepFolder(step).record)
    verdict(str(study), str(store.uri))
    assert "No verdict yet" in screen.getvalue()
    refused = scaling("verdict", str(study), "--store", str(tmp_path / "nowhere"))
    assert refused.returncode == 2
    assert "scaling run" in refused.stderr
