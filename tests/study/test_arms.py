"""Arms that cannot be are refused with the line of the study file, before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from scaling.spec import BadFile
from scaling.study.study import load_study
from tests.helpers.every_arm import arms_study
from tests.helpers.tiny import write_study


@pytest.fixture
def content(tiny_study: dict[str, Any]) -> dict[str, Any]:
    return arms_study(tiny_study)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"together": ["word_order", "text"]},
            "arms.1.together: masked language modelling alternates by a ratio",
        ),
        (
            {"together": ["word_order", "nli"], "sampling": {"cap": 0}},
            "arms.1.sampling.cap: Input should be greater",
        ),
        (
            {"train_on": ["nli"], "languages": ["fr"]},
            "arms.1.languages.0: nli has no training data in 'fr'",
        ),
        (
            {"adapt": [{"task": "text", "languages": ["yo"]}]},
            "arms.1.adapt.0.languages.0: text has no training data",
        ),
        ({"train_on": ["nli"], "mlm": "nli"}, "arms.1.mlm.task: nli is of kind classification"),
        (
            {"control": "shuffled-labels", "train_on": ["text"]},
            "arms.1.control: text is of kind masked_lm; labels are",
        ),
        ({"control": "compute-matched", "like": "nix"}, "arms.1.like: Unknown arm 'nix'"),
        ({"control": "compute-matched"}, "arms.1.control: compute-matched needs like: ARM"),
        ({"train_on": ["nli"], "new_pieces": 5}, "arms.1.new_pieces: needs text in adapt"),
        (
            {"train_on": ["nli"], "recipe": {"max_length": 9}},
            "arms.1.recipe.max_length: belongs to a task",
        ),
        (
            {"train_on": ["nli"], "recipe": {"epoch": 9}},
            "arms.1.recipe.epoch: is no field of a recipe. Did you mean 'e",
        ),
        ({}, "arms.1: the arm 'odd' does nothing"),
    ],
)
def test_arms_that_cannot_be_are_refused_with_their_line(
    content: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write_study(tmp_path, {**content, "arms": ["none", {"name": "odd", **change}]})
    with pytest.raises(BadFile) as error:
        load_study(path)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "name: odd" in text)
    place, _, text = str(error.value).partition(": ")
    assert text.startswith(message)
    assert abs(int(place.rpartition(":")[2]) - line) <= 12


def test_lora_targets_that_match_nothing_are_refused(
    content: dict[str, Any], tmp_path: Path
) -> None:
    path = write_study(
        tmp_path, {**content, "method": "lora", "lora": {"targets": ["query", "q_proj"]}}
    )
    with pytest.raises(
        BadFile,
        match=r"lora.targets.1: 'q_proj' matches no module of xlm-roberta.*attention.self.query",
    ):
        load_study(path)
