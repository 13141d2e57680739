"""A part of a study: its cells, the steps behind them, and what names nothing."""

from __future__ import annotations

from typing import Any

import pytest

from scaling.spec import UserError
from scaling.study.part import WHOLE, part_of
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.studies import BASE, LOCK

CONTROL = {"name": "longer", "control": "compute-matched", "like": "squad1"}
STUDY: dict[str, Any] = {**BASE, "arms": [*BASE["arms"], CONTROL]}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(Study(**STUDY), LOCK)


def test_all_of_a_study_is_the_plan_itself(plan: Plan) -> None:
    assert part_of(plan, ()) == WHOLE
    assert WHOLE.of(plan) is plan


def test_a_part_has_its_cells_and_what_they_start_from(plan: Plan) -> None:
    part = part_of(plan, ["arm=mnli", "seed=1", "target=xnli", "target=xquad"]).of(plan)
    assert {(c.model, c.arm, c.target, c.seed) for c in part.cells} == {
        ("xlm-r-base", "mnli", target, 1) for target in ("xnli", "xquad")
    }
    named = sorted(step.rpartition(".")[0] for step in part.steps)
    assert named == [
        "eval.xlm-r-base.mnli-xnli.s1",
        "eval.xlm-r-base.mnli-xquad.s1",
        "iii.xlm-r-base.mnli-mnli.s1",
        "iii.xlm-r-base.mnli-squad1.s1",
        # Phase ii: the same training as the baseline's of XNLI.
        "iii.xlm-r-base.none-mnli.s1",
    ]
    assert all(step.parent is None or step.parent in part.steps for step in part.steps.values())
    assert part.steps.items() <= plan.steps.items()


def test_parts_add_up_to_the_whole(plan: Plan) -> None:
    parts = [part_of(plan, [f"seed={seed}"]).of(plan).steps for seed in (0, 1)]
    assert parts[0].keys() | parts[1].keys() == plan.steps.keys()
    assert parts[0].keys() != plan.steps.keys()


def test_a_control_brings_the_trainings_whose_length_it_has(plan: Plan) -> None:
    part = part_of(plan, ["arm=longer", "seed=0", "target=xquad"]).of(plan)
    like = {name for step in part.steps.values() for name in step.updates_like}
    assert like and like <= part.steps.keys()


def test_re_runs_belong_to_the_part_of_their_cell(plan: Plan) -> None:
    part = part_of(plan, ["arm=squad1", "seed=0"])
    training = next(c.intermediate[0] for c in part.of(plan).cells)
    grown = make_plan(plan.study, LOCK, frozenset([training]))
    wanted = part.of(grown)
    again = [cell for cell in wanted.cells if cell.rerun]
    assert {(cell.arm, cell.seed) for cell in again} == {("squad1", 0)}
    assert {cell.scored for cell in again} <= wanted.steps.keys()
    assert wanted.steps.keys() - part.of(plan).steps.keys()


def test_a_check_of_rates_is_cut_by_its_trainings() -> None:
    plan = make_plan(Study(**{**BASE, "learning_rates": [1e-5, 2e-5]}), LOCK)
    part = part_of(plan, ["target=squad1", "seed=0"]).of(plan)
    assert [(step.task, step.seed) for step in part.steps.values()] == [("squad1", 0)] * 2


@pytest.mark.parametrize(
    ("only", "said"),
    [
        (["model=xlm-r-bsae"], "Unknown model in --only model=xlm-r-bsae: 'xlm-r-bsae'. Did you"),
        (["modle=xlm-r-base"], "'modle'. Did you mean 'model'? Valid: model, arm, seed, target."),
        (["seed=7"], "'7'. Valid: 0, 1."),
        (["seed=one"], "'one'. Valid: 0, 1."),
        (["target=mnli"], "Valid: "),
        (["mnli"], "no KEY=VALUE, such as model=xlm-r-base"),
        (["arm="], "Unknown arm in --only arm="),
    ],
)
def test_what_names_nothing_is_one_line_with_the_valid_names(
    plan: Plan, only: list[str], said: str
) -> None:
    with pytest.raises(UserError) as refused:
        part_of(plan, only)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_names_that_no_cell_has_together_are_refused() -> None:
    both = {**BASE, "models": ["xlm-r-base", "xlm-r-large"]}
    plan = make_plan(Study(**{**both, "seeds": {"default": [0], "xlm-r-base": [0, 1]}}))
    with pytest.raises(UserError, match="--only seed=1 --only model=xlm-r-large: no cell of s"):
        part_of(plan, ["seed=1", "model=xlm-r-large"])
