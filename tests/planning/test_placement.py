"""What fits where, and what would help; refusals with their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.catalogue.hardware import GIB, GPUS, GpuSpec, Placement
from scaling.catalogue.models import MODELS
from scaling.planning.fitting import candidates, cost, fitting, misfit
from scaling.planning.forecast import forecast
from scaling.planning.memory import USABLE, demand_of, memory
from scaling.planning.placement import (
    check_fit,
    demands,
    layouts,
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
        ValueError, match=r"xlm-r-xxl does not fit on a node of 1 × l4-24: at best .* needs 221\."
    ):
        fitting(MODELS["xlm-r-xxl"], demand_of(Recipe()), GPUS["l4-24"])
    roomy = GPUS["a100-80"].model_copy(update={"devices_per_node": 1})
    assert fitting(MODELS["xlm-r-xxl"], demand_of(Recipe()), roomy)[1].offload_optimizer
    # Offloading needs memory on the host.
    with pytest.raises(
        ValueError,
        match=r"with an offloaded optimizer it offloads 182 GiB to the host, 90 of a node",
    ):
        fitting(
            MODELS["xlm-r-xxl"], demand_of(Recipe()), roomy.model_copy(update={"host_gib": 100})
        )


def test_offloading_costs_what_it_moves() -> None:
    xxl, demand = MODELS["xlm-r-xxl"], demand_of(Recipe())
    two = Placement(workers=2, zero_stage=2, micro_batch=8)
    far = two.model_copy(update={"offload_optimizer": True})

    def dearer(gpu_name: str, **changed: float) -> float:
        gpu = GPUS[gpu_name].model_copy(update=changed)
        return cost(xxl, demand, far, gpu) / cost(xxl, demand, two, gpu)

    # By hand, 5.35e9 parameters a worker on an H100: 46 bytes each at 0.8 x 77 GB/s of the host's
    # memory and 4 at 0.8 x 63 of the link, 4.4 s, where an update on the devices takes half a
    # second.
    assert 7 < dearer("h100-80") < 12
    # Links and memories twice as fast halve what is added; an eternally fast host adds nothing.
    added = dearer("h100-80") - 1
    twice = dearer("h100-80", host_link_gbs=126, host_memory_gbs=154) - 1
    assert added / 2.3 < twice < added / 1.8
    assert dearer("h100-80", host_link_gbs=1e9, host_memory_gbs=1e9) < 1
    # A slower device hides more of it.
    assert dearer("a100-80", host_link_gbs=63, host_memory_gbs=77) < dearer("h100-80")
    # Recomputation, another third of the work, is always tried first there.
    gpu = GPUS["h100-80"]
    order = [one for one in candidates(xxl, demand, gpu, 2) if one.workers == 2]
    at = order.index(far)
    assert all(
        order.index(one) < at for one in order if not one.offload_optimizer and one.micro_batch >= 8
    )


STAGED = {
    "mnli": {"train.en": (392_702, 15_000_000, 41_000), "dev.en": (9_815, 380_000, 19_000)},
    "xnli": {"test.en": (5_010, 190_000, 17_000)},
}


def test_rows_that_no_text_of_a_training_has_are_not_planned() -> None:
    plan, gpu = make_plan(BASE_AND_XXL), GPUS["h100-80"]
    training = next(step for step in plan.steps.values() if step.action == "train")
    asked = demands(plan, plan.steps.values(), STAGED)
    assert asked[training.id].word_rows == 4 + 41_000 + 19_000
    # A masked language model decodes with every row; beside adapters the embedding stays whole; one
    # split that nobody counted leaves it unknown; before staging nothing is known.
    masked = make_plan(load_study("arms"))
    lm = {
        step.id
        for step in masked.steps.values()
        if step.action == "train" and "news" in {one.task for one in step.mixture.members}
    }
    everywhere = {
        name: {str(key): (9, 99, 9) for key in masked.study.splits_of(masked.study.task(name))}
        for name in masked.study.used_tasks
    }
    by_step = demands(masked, masked.steps.values(), everywhere)
    assert lm and {by_step[name].word_rows for name in lm} == {0}
    adapted = make_plan(BASE_AND_XXL.model_copy(update={"method": "lora"}))
    half = {"mnli": {**STAGED["mnli"], "dev.en": (9_815, 380_000, 0)}}
    for own, sizes in ((adapted, STAGED), (plan, half), (plan, {})):
        assert {one.word_rows for one in demands(own, own.steps.values(), sizes).values()} == {0}
    # What is planned is less, and so is the time of its updates.
    name = training.model
    few, whole = (
        forecast(plan, sizes, gpu, {}).sizes[plan.study.models.index(name)]
        for sizes in (STAGED, {"mnli": {key: (*n[:2], 0) for key, n in STAGED["mnli"].items()}})
    )
    assert few.peak is not None and whole.peak is not None
    left_out = (MODELS[name].vocab_rows - 60_004) * MODELS[name].hidden
    workers = placements(plan, gpu, STAGED)[training.id].workers
    assert whole.peak.total - few.peak.total >= 6 * left_out / workers
    assert few.device_hours < whole.device_hours


def test_a_placement_with_the_whole_vocabulary_is_planned_with_it() -> None:
    base = MODELS["xlm-r-base"]
    few = demand_of(Recipe(), word_rows=50_000)
    whole = Placement(whole_vocabulary=True)
    assert memory(base, few, whole) == memory(base, demand_of(Recipe()), Placement())
    need = memory(base, few, Placement())
    # The others wait in host memory, in the precision of the computation.
    assert need.host == 2 * 200_002 * base.hidden
    assert memory(base, demand_of(Recipe(), word_rows=10**9), whole).host == 0


def test_trainings_that_launches_bound_share_a_device_where_all_fit() -> None:
    plan = make_plan(load_study("xtreme_r"))

    def sharing(gpu: GpuSpec) -> dict[str, set[int]]:
        chosen = placements(plan, gpu)
        return {
            name: {chosen[step].sharing for step in plan.steps if plan.steps[step].model == name}
            for name in plan.study.models
        }

    h100 = GPUS["h100-80"]
    # All steps of a size alike, scorings too, so that they share sessions.
    assert sharing(h100) == {
        "xlm-r-base": {2},
        "xlm-r-large": {1},
        "xlm-r-xl": {1},
        "xlm-r-xxl": {1},
    }
    # A device that computes more slowly has no time for others; a small one no room.
    assert sharing(GPUS["a100-80"])["xlm-r-base"] == {1}
    need = memory(MODELS["xlm-r-base"], demand_of(Recipe(max_length=384)), Placement())
    small = h100.model_copy(update={"memory_gib": 1.9 * need.total / GIB})
    assert sharing(small)["xlm-r-base"] == {1}
    assert {
        "2 to a device" in one for one in layouts(plan, "xlm-r-base", placements(plan, h100))
    } == {True}
    # Half the devices hardly longer: device hours fall, and the study's makespan with them.
    shared = forecast(plan, {}, h100, {}, devices=8)
    apart = forecast(
        make_plan(
            plan.study.model_copy(update={"placement": {"xlm-r-base": Placement(micro_batch=16)}})
        ),
        {},
        h100,
        {},
        devices=8,
    )
    assert shared.sizes[0].device_hours < 0.65 * apart.sizes[0].device_hours
    assert shared.makespan_seconds < apart.makespan_seconds


def test_a_shared_device_must_hold_all_and_says_for_how_many() -> None:
    large, demand = MODELS["xlm-r-large"], demand_of(Recipe())
    two = Placement(sharing=2, micro_batch=16)
    assert misfit(large, demand, two.model_copy(update={"sharing": 1}), GPUS["a10g-24"]) is None
    assert (misfit(large, demand, two, GPUS["a10g-24"]) or "").endswith(
        "10.1 of a10g-24 are usable, for each of 2 to a device"
    )
    with pytest.raises(ValueError, match=r"sharing 2 needs 1 worker; this has 2"):
        Placement(sharing=2, workers=2)
