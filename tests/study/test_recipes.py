"""Recipes: every number with its source, both protocols, equal at all sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling.spec import BadFile
from scaling.study.recipes import Recipe
from scaling.study.study import load_study
from tests.helpers.tiny import write_study


@pytest.mark.parametrize("name", ["xtreme_r", "phang2020", "demo"])
def test_every_number_of_every_task_has_a_source(name: str) -> None:
    study = load_study(name)
    for task in study.used_tasks:
        sources = study.recipe_sources(task)
        assert set(sources) == set(Recipe.model_fields) and all(sources.values())


def test_the_protocols_are_those_that_were_published() -> None:
    phang, xtreme = load_study("phang2020"), load_study("xtreme_r")
    fields = ("learning_rate", "epochs", "batch", "max_length", "warmup")
    values = {
        task: tuple(getattr(phang.recipe(task), name) for name in fields)
        for task in phang.used_tasks
    }
    assert values["mnli"] == (1e-5, 2, 32, 256, 0.1)
    assert values["pawsx"] == (1e-5, 5, 32, 256, 0.1)
    assert values["udpos_v25"] == values["panx_xtreme"] == (1e-5, 10, 32, 256, 0.1)
    assert values["squad1"] == values["tydiqa"] == (1e-5, 2, 16, 384, 0.1)
    assert phang.recipe("tatoeba_xtreme").pool_depth == 14 / 24
    assert (
        xtreme.recipe("mnli").learning_rate == 2e-5
        and xtreme.recipe("squad1").learning_rate == 3e-5
    )
    assert "not verified" in phang.recipe_sources("hellaswag")["batch"]
    assert "one rate for all sizes" in xtreme.recipe_sources("mnli")["learning_rate"]


def test_a_recipe_by_model_is_refused_with_the_reason(
    tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    tiny_study["recipes"]["xlm-r-large"] = {"learning_rate": 3e-5}
    with pytest.raises(BadFile, match="'xlm-r-large' is a model: a recipe is equal at all sizes"):
        load_study(write_study(tmp_path, tiny_study))
