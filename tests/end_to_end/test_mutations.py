"""Whatever is wrong with a study file, a data file or a model's folder: rows, or one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.catalogue.models import ModelSpec
from scaling.study.study import STUDIES
from tests.helpers.mutations import SAMPLES, judge, spoilt_inputs, spoilt_models, written
from tests.helpers.tiny import make_model

STUDY = (STUDIES / "arms.yaml").read_text(encoding="utf-8")


def test_the_samples_are_right_as_they_are(tmp_path: Path) -> None:
    for sample in SAMPLES:
        assert written(sample, tmp_path)()


@pytest.mark.parametrize("count", [300, pytest.param(4_000, marks=pytest.mark.slow)])
def test_spoilt_files_are_read_or_refused(count: int, tmp_path: Path) -> None:
    verdict = judge(spoilt_inputs(tmp_path, STUDY, count, seed=count))
    assert verdict.broken == []
    assert verdict.without_place == []
    assert verdict.total == count
    assert verdict.refused > count / 4


@pytest.mark.parametrize("count", [60, pytest.param(400, marks=pytest.mark.slow)])
def test_spoilt_models_are_staged_or_refused(count: int, tmp_path: Path) -> None:
    spec = ModelSpec(name="mine", **make_model(tmp_path / "model", "xlm-roberta", 1))
    verdict = judge(spoilt_models(tmp_path, spec, count))
    assert verdict.broken == []
    assert verdict.without_place == []
    assert verdict.refused > count / 4
