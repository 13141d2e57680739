"""Recipes: every number with its source, both protocols, equal at all sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling.spec import BadFile
from scaling.study.family_recipes import family_entry
from scaling.study.flops import step_flops
from scaling.study.plan import make_plan
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
    decay = {phang.recipe(task).weight_decay for task in ("mnli", "squad1", "hellaswag")}
    assert decay == {0.01} and "model_setup.py:85" in phang.recipe_sources("mnli")["weight_decay"]
    assert (phang.recipe("mnli").select_every, phang.recipe("mnli").select_examples) == (1000, 500)
    assert "not verified" in phang.recipe_sources("hellaswag")["batch"]
    assert "one rate for all sizes" in xtreme.recipe_sources("mnli")["learning_rate"]


def test_a_recipe_by_model_is_refused_with_the_reason(
    tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    tiny_study["recipes"]["xlm-r-large"] = {"learning_rate": 3e-5}
    with pytest.raises(BadFile, match="'xlm-r-large' is a model: a recipe is equal at all sizes"):
        load_study(write_study(tmp_path, tiny_study))


def test_xtreme_is_its_scripts_and_ours_says_where_it_is_not() -> None:
    ours = load_study("xtreme_r")
    xtreme = ours.model_copy(update={"protocol": "xtreme"})
    assert ours.protocol == "ours"
    for task in ours.used_tasks:
        own, theirs = ours.recipe(task), xtreme.recipe(task)
        assert (own.warmup, own.warmup_updates, own.select_every) == (0.1, 0, 0)
        asks = ours.task(task).kind == "span_qa"
        assert (theirs.warmup, theirs.warmup_updates) == (0.0, 500 if asks else 0)
        # Else they are the same numbers.
        same = {"warmup": 0.1, "warmup_updates": 0, "select_every": 0, "select_examples": 0}
        assert theirs.model_copy(update=same) == own
    looks = {task: xtreme.recipe(task).select_every for task in ours.trained_tasks}
    assert {task: every for task, every in looks.items() if every} == {
        "mnli": 100,
        "udpos": 500,
        "panx": 1000,
        "squad1_pairs": 1000,
    }


def test_looks_at_dev_data_are_planned_for() -> None:
    study = load_study("xtreme_r")
    both = [study, study.model_copy(update={"protocol": "xtreme"})]
    flops = []
    for one in both:
        plan = make_plan(one)
        step = next(step for step in plan.steps.values() if step.task == "mnli")
        flops.append(step_flops(plan, step, {}))
    # 613 looks at 2,490 pairs, a third of an example's work each, beside 5 x 392,702.
    assert flops[1] / flops[0] == pytest.approx(1 + 614 * 2490 / 3 / (5 * 392_702), rel=0.02)


def test_a_family_starts_from_numbers_that_say_how_well_they_are_known() -> None:
    """The family's rate wins over the kind's and the task's, the study's over the family's."""
    assert family_entry("xlm-r", "full", "tagging", "udpos") == ({}, "")
    ours = load_study("xtreme_r")
    rates = {}
    for models, method in (
        (("mt5-small", "mt5-xxl"), "full"),
        (("qwen3-0_6b", "qwen3-8b"), "lora"),
        (("qwen3-0_6b", "qwen3-8b"), "full"),
        (("mmbert-small", "mmbert-base"), "full"),
        (("eurobert-210m", "eurobert-610m"), "full"),
    ):
        study = ours.model_copy(update={"models": models, "method": method})
        sources = study.recipe_sources("squad1")["learning_rate"]
        assert sources.startswith(("published: ", "public code: ", "assumed: "))
        found = study.recipe("squad1")
        rates[study.model(models[0]).family, method] = (found.learning_rate, found.dropout)
    assert rates == {
        ("mt5", "full"): (1e-4, 0.1),
        ("qwen3", "lora"): (1e-4, 0.0),
        ("qwen3", "full"): (1e-5, 0.0),
        ("mmbert", "full"): (3e-5, 0.1),
        ("eurobert", "full"): (3e-5, 0.1),
    }
    mt5 = ours.model_copy(update={"models": ("mt5-small",)})
    assert mt5.recipe("mewslix").learning_rate == 1e-4 and mt5.recipe("squad1").pooling == "mean"
    own = mt5.model_copy(update={"recipes": {"default": {"learning_rate": 3e-4}}})
    assert own.recipe("squad1").learning_rate == 3e-4
    phang = mt5.model_copy(update={"protocol": "phang2020"})
    assert phang.recipe("squad1").learning_rate == 1e-5
    mmbert = ours.model_copy(update={"models": ("mmbert-base",)})
    assert (mmbert.recipe("pawsx").epochs, mmbert.recipe("mewslix").batch) == (2, 64)
