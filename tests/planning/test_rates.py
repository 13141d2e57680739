"""Recipes with sources, both protocols, and the check of learning rates with equal budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaling.data.staging import splits_of
from scaling.plan import make_plan
from scaling.rates import RateScore, choose, rate_lines, recipe_lines
from scaling.recipes import Recipe
from scaling.study import Study, load_study
from scaling.yamlfile import BadFile
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


def test_a_check_has_equal_budgets_and_reads_english_alone() -> None:
    study = load_study("rates")
    plan = make_plan(study)
    assert not plan.cells and len(plan.steps) == 4 * 2 * 3
    assert {step.action for step in plan.steps.values()} == {"train"}
    counts = {(m, r): 0 for m in study.models for r in study.learning_rates}
    for step in plan.steps.values():
        counts[step.model, step.recipe.learning_rate] += 1
    assert set(counts.values()) == {2}
    for task in study.used_tasks:
        assert splits_of(study, study.task(task)) == [("train", "en"), ("dev", "en")]


def test_a_check_without_rates_is_the_study_as_it_was() -> None:
    study = load_study("rates")
    plain = Study(**{**study.model_dump(exclude_unset=True), "learning_rates": ()})
    assert make_plan(plain).cells


def score(model: str, rate: float, value: float, planned: int = 1) -> RateScore:
    return RateScore(
        task="t", model=model, rate=rate, scores=(value,), error=0.01, collapsed=0, planned=planned
    )


def test_one_rate_for_all_sizes_and_what_each_would_gain() -> None:
    scores = [
        score("s", 1e-5, 0.50),
        score("s", 2e-5, 0.60),
        score("s", 4e-5, 0.61),
        score("l", 1e-5, 0.80),
        score("l", 2e-5, 0.75),
        score("l", 4e-5, 0.30),
    ]
    (found,) = choose(scores)
    assert found.rate == 2e-5 and not found.is_edge
    assert found.own["s"][:2] == (4e-5, pytest.approx(0.01)) and found.own["l"][:2] == (
        1e-5,
        pytest.approx(0.05),
    )
    noise, more = rate_lines([found])
    assert noise.endswith("within noise") and more.endswith("more than noise")
    assert recipe_lines([found]) == ["recipes:", "  t: {learning_rate: 2.0e-05}"]
    assert choose([*scores, score("s", 8e-5, 0.9, planned=2)]) == []
