"""The check of learning rates: equal budgets, English alone, one rate for all sizes."""

from __future__ import annotations

import pytest

from scaling.planning.rates import RateScore, choose, rate_lines, recipe_lines
from scaling.study.plan import make_plan
from scaling.study.study import Study, load_study


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
        assert study.splits_of(study.task(task)) == [("train", "en"), ("dev", "en")]


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
