"""Steps are shared by content; identity is what could change the numbers, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.study.identity import Lock
from scaling.study.plan import make_plan
from scaling.study.study import Study, load_study
from tests.helpers.studies import BASE, HARM, LOCK


def ids(study: dict[str, Any], lock: Lock = LOCK) -> list[str]:
    return list(make_plan(Study(**study), lock).steps)


def test_one_squad_model_serves_every_target_and_arm() -> None:
    plan = make_plan(Study(**{**BASE, "seeds": [0]}), LOCK)
    trained = [step for step in plan.steps.values() if step.action == "train"]
    # MNLI and SQuAD alone, and each after each: the intermediate run is the same training as the
    # target's own.
    assert len(trained) == 6
    cells = {(cell.arm, cell.target): cell for cell in plan.cells}
    assert (
        cells["none", "xquad"].trained
        == cells["none", "mlqa"].trained
        == cells["squad1", "xnli"].intermediate
    )


def test_same_data_pairs_are_marked() -> None:
    study = {
        **BASE,
        "arms": ["none", "mnli", "squad1", "anli_plus"],
        "targets": [*BASE["targets"], "lareqa", "panx"],
    }
    marked = {(c.arm, c.target) for c in make_plan(Study(**study)).cells if c.same_data}
    # LAReQA trains on SQuAD under another name, and ANLI+ contains MNLI.
    assert marked == {
        ("mnli", "xnli"),
        ("anli_plus", "xnli"),
        ("squad1", "xquad"),
        ("squad1", "mlqa"),
        ("squad1", "lareqa"),
    }


def test_untrained_retrieval_is_scored_once_for_all_seeds() -> None:
    plan = make_plan(Study(**BASE), LOCK)
    scored = {cell.scored for cell in plan.cells if cell.arm == "none" and cell.target == "tatoeba"}
    assert len(scored) == 1


def test_parents_come_first() -> None:
    seen: set[str] = set()
    for step in make_plan(load_study("xtreme_r")).steps.values():
        assert step.parent is None or step.parent in seen
        seen.add(step.id)


@settings(max_examples=40, deadline=None)
@given(
    workers=st.sampled_from([1, 2, 4, 8]),
    stage=st.sampled_from([1, 2, 3]),
    micro=st.integers(1, 64),
    recompute=st.booleans(),
    every=st.integers(0, 100),
    devices=st.integers(0, 64),
    gpu=st.sampled_from([None, "h100-80"]),
    keep=st.sampled_from(["none", "intermediate", "all"]),
)
def test_execution_is_not_identity(
    workers: int,
    stage: int,
    micro: int,
    recompute: bool,
    every: int,
    devices: int,
    gpu: str | None,
    keep: str,
) -> None:
    placement = {
        "workers": workers,
        "zero_stage": stage,
        "micro_batch": micro,
        "checkpoint_activations": recompute,
        "resume_every": every,
    }
    other = {
        **BASE,
        "placement": {"default": placement},
        "max_devices": devices,
        "gpu": gpu,
        "keep_weights": keep,
        "title": "another",
        "notes": ["n"],
        "question": {"margin": 1.0},
    }
    assert ids(other) == ids(BASE)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 7e-5},
        {"epochs": 1},
        {"batch": 16},
        {"warmup": 0.0},
        {"max_length": 64},
        {"dropout": 0.0},
        {"precision": "fp32"},
        {"weight_decay": 0.1},
        {"grad_clip": 2.0},
    ],
)
def test_recipe_is_identity(change: dict[str, Any]) -> None:
    assert not set(ids({**BASE, "recipes": {"mnli": change, "squad1": change}})) & {
        step for step in ids(BASE) if step.startswith(("ii.", "iii."))
    }


def test_data_and_weights_are_identity() -> None:
    for lock in (
        Lock(
            models={"xlm-r-base": {**LOCK.models["xlm-r-base"], "weights": "x" * 64}},
            data=LOCK.data,
        ),
        Lock(
            models=LOCK.models, data={**LOCK.data, "mnli": {"train.en": "changed", "dev.en": "b"}}
        ),
    ):
        assert set(ids(BASE, lock)) != set(ids(BASE))


def test_golden_fingerprints() -> None:
    """A refactor that re-keys finished work must say so here: users pay for these steps."""
    steps = make_plan(Study(**BASE), LOCK).steps
    assert [step for step in steps if ".s0." in step or "tatoeba" in step][:6] == GOLDEN


def test_stores_of_the_earlier_demo_go_on() -> None:
    """Golden ids: a store that today's code cannot continue has trained for nothing."""
    plan = make_plan(load_study(str(HARM)))
    assert (plan.study.name, len(plan.cells), len(plan.steps)) == ("demo", 108, 152)
    assert [step for step in plan.steps if step.startswith("ii.e5-depth-2")][:2] == [
        "ii.e5-depth-2.name_types.s0.f4dd22bd9209",
        "ii.e5-depth-2.word_order.s0.3370badbf4a8",
    ]


GOLDEN = [
    "iii.xlm-r-base.none-mnli.s0.fb125bb148a2",
    "eval.xlm-r-base.none-xnli.s0.dbe8c1c40ffa",
    "iii.xlm-r-base.none-squad1.s0.1d792d22a5bf",
    "eval.xlm-r-base.none-xquad.s0.84f50de40941",
    "eval.xlm-r-base.none-mlqa.s0.7bac690ae126",
    "eval.xlm-r-base.none-tatoeba.6ac278dd90b1",
]
