"""What fits where, and what would help; refusals with their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.catalogue.hardware import GIB, GPUS, Placement
from scaling.catalogue.models import MODELS
from scaling.planning.forecast import forecast
from scaling.planning.memory import USABLE, demand_of, memory
from scaling.planning.placement import (
    check_fit,
    demands,
    fitting,
    layouts,
    misfit,
    model_placements,
    placements,
)
from scaling.study.plan import make_plan
from scaling.study.recipes import Recipe
from scaling.study.study import load_study
from tests.helpers.studies import BASE_AND_XXL

SIZES = [MODELS[name] for name in ("xlm-r-base", "xlm-r-large", "xlm-r-xl", "xlm-r-xxl")]


@pytest.mark.parametrize(
    "gpu", [GPUS["a100-40"], GPUS["h100-80"], GPUS["h200-141"]], ids=lambda gpu: gpu.name
)
@pytest.mark.parametrize("model", SIZES, ids=lambda model: model.name)
@settings(max_examples=24, deadline=None)
@given(
    length=st.sampled_from([64, 128, 384, 512]),
    batch=st.sampled_from([8, 16, 32]),
    masked=st.booleans(),
)
def test_what_is_chosen_fits_and_divides(model, gpu, length: int, batch: int, masked: bool) -> None:
    demand = demand_of(
        Recipe(max_length=length, batch=batch), {"masked_lm"} if masked else {"tagging"}
    )
    try:
        found = fitting(model, demand, gpu)
    except ValueError:
        # Only the largest on the smallest, and only with what is longest.
        assert (model.name, gpu.name) == ("xlm-r-xxl", "a100-40")
        return
    for workers, placement in found.items():
        assert placement.workers == workers and batch % workers == 0
        assert memory(model, demand, placement).total <= USABLE * gpu.memory_gib * GIB
        assert placement.zero_stage >= 1


def test_workers_share_pairs_that_are_each_others_negatives() -> None:
    pairs, xxl = demand_of(BASE_AND_XXL.recipe("squad1_pairs"), {"retrieval"}), MODELS["xlm-r-xxl"]
    # Groups of eight pairs, two texts each: one group at least at a time, over all workers.
    assert [pairs.least(workers) for workers in (1, 2, 4, 8, 16)] == [16, 8, 4, 2, 2]
    for workers, placement in fitting(xxl, pairs, GPUS["h100-80"]).items():
        assert placement.micro_batch >= pairs.least(workers)
    assert memory(xxl, pairs, Placement(micro_batch=1)) == memory(
        xxl, pairs, Placement(micro_batch=16)
    )
    four = {"workers": 4, "zero_stage": 3}
    assert memory(xxl, pairs, Placement(micro_batch=1, **four)) == memory(
        xxl, pairs, Placement(micro_batch=4, **four)
    )


def test_the_study_offloads_nothing_and_places_equal_demands_alike() -> None:
    plan, gpu = make_plan(load_study("xtreme_r")), GPUS["h100-80"]
    usual, *others = layouts(plan, "xlm-r-xxl", model_placements(plan, "xlm-r-xxl", gpu)).items()
    assert usual[0].startswith("4 × ZeRO-3") and "offloaded" not in usual[0] and len(usual[1]) >= 14
    assert not others
    chosen = placements(plan, gpu)
    by_demand: dict[object, set[Placement]] = {}
    for step, demand in demands(plan, plan.steps.values()).items():
        if plan.steps[step].action == "train":
            by_demand.setdefault((plan.steps[step].model, demand), set()).add(chosen[step])
            assert misfit(MODELS[plan.steps[step].model], demand, chosen[step], gpu) is None
    assert all(len(alike) == 1 for alike in by_demand.values()), "equal demands, equal placements"
    for one in plan.steps.values():
        if one.action == "eval" and one.parent is not None:
            assert chosen[one.id] == chosen[one.parent], "a scoring runs in its training's session"


def test_a_model_keeps_one_gang_size_where_it_fits_and_divides() -> None:
    study = BASE_AND_XXL.model_copy(
        update={"models": ("xlm-r-xxl",), "targets": ("panx", "udpos", "xnli")}
    )
    # A batch of 4 does not divide over eight workers, where the largest model fits GPUs of 40 GB.
    odd = study.model_copy(update={"recipes": {"udpos": {"batch": 4, "max_length": 64}}})
    for one, gangs in ((study, {8}), (odd, {8, 2})):
        plan = make_plan(one)
        chosen = placements(plan, GPUS["a100-40"])
        assert {placement.workers for placement in chosen.values()} == gangs
        for step in plan.steps.values():
            assert chosen[step.id].workers == (2 if step.recipe.batch == 4 else 8)
    narrow = study.model_copy(update={"max_devices": 2})
    assert {
        placement.workers for placement in placements(make_plan(narrow), GPUS["a100-40"]).values()
    } <= {1, 2}
    with pytest.raises(
        ValueError, match=r"does not fit on a node of 1 × l4-24.* This is for training panx"
    ):
        placements(make_plan(study), GPUS["l4-24"])


def test_a_rerun_moves_no_other_step() -> None:
    plan = make_plan(load_study("xtreme_r"))
    trained = [
        step.id
        for step in plan.steps.values()
        if step.action == "train" and step.model == "xlm-r-xxl"
    ]
    grown = make_plan(plan.study, plan.lock, frozenset(trained[:40]))
    before, after = placements(plan, GPUS["a100-40"]), placements(grown, GPUS["a100-40"])
    assert len(after.keys() - before.keys()) > 40
    assert all(after[step] == before[step] for step in after.keys() & before.keys())


def test_a_given_placement_that_does_not_fit_is_refused_with_a_way_out() -> None:
    study = BASE_AND_XXL.model_copy(
        update={"placement": {"default": Placement(workers=2, zero_stage=3)}}
    )
    plan = make_plan(study)
    with pytest.raises(
        ValueError,
        match=r"xlm-r-xxl, placed as the study says, needs .* for mnli\. 4 × ZeRO-3, micro",
    ):
        check_fit(plan, placements(plan, GPUS["h100-80"]), GPUS["h100-80"])
    # No memory is checked on CPUs.
    check_fit(plan, placements(plan, None), None)
    line = forecast(plan, {}, GPUS["h100-80"], {}).sizes[1]
    assert line.peak is not None and line.peak_task == "mnli" and line.device_hours == 0


def test_a_size_that_does_not_fit_says_what_would_help() -> None:
    with pytest.raises(
        ValueError, match=r"xlm-r-xxl does not fit on a node of 1 × l4-24: at best .* needs 223\."
    ):
        fitting(MODELS["xlm-r-xxl"], demand_of(Recipe()), GPUS["l4-24"])
    roomy = GPUS["a100-80"].model_copy(update={"devices_per_node": 1})
    assert fitting(MODELS["xlm-r-xxl"], demand_of(Recipe()), roomy)[1].offload_optimizer
    # Offloading needs memory on the host.
    with pytest.raises(
        ValueError,
        match=r"with an offloaded optimizer it offloads 199 GiB to the host, 92 of a node",
    ):
        fitting(
            MODELS["xlm-r-xxl"], demand_of(Recipe()), roomy.model_copy(update={"host_gib": 100})
        )
