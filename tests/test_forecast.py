"""The planner: what fits where, and what would help; what a study takes; every refusal with its
numbers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scaling.catalogue.hardware import GIB, GPUS, Placement
from scaling.catalogue.models import MODELS
from scaling.planning.calibration import (
    Calibration,
    add_calibration,
    measured_on,
    read_calibrations,
)
from scaling.planning.forecast import Prices, forecast
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
from scaling.planning.speed import step_seconds
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.recipes import Recipe
from scaling.study.study import Study, load_study

SIZES = [MODELS[name] for name in ("xlm-r-base", "xlm-r-large", "xlm-r-xl", "xlm-r-xxl")]
STUDY = Study(
    name="s",
    models=("xlm-r-base", "xlm-r-xxl"),
    arms=("none", "mnli"),
    targets=("xnli",),
    seeds=(0,),
)  # type: ignore[arg-type]


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
def test_what_is_chosen_fits_and_divides(model, gpu, length: int, batch: int, masked: bool) -> None:  # type: ignore[no-untyped-def]
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


def test_pairs_that_are_each_others_negatives_stay_in_one_pass() -> None:
    pairs, xxl = demand_of(STUDY.recipe("squad1_pairs"), {"retrieval"}), MODELS["xlm-r-xxl"]
    # 16 pairs are two groups of eight: two texts each, in one pass, on two workers at most.
    assert (pairs.least, [workers for workers in (1, 2, 4, 8) if pairs.divides(workers)]) == (
        16,
        [1, 2],
    )
    for placement in fitting(xxl, pairs, GPUS["h100-80"]).values():
        assert placement.micro_batch >= 16
    assert memory(xxl, pairs, Placement(micro_batch=1)) == memory(
        xxl, pairs, Placement(micro_batch=16)
    )


def test_one_demanding_task_does_not_place_all_others() -> None:
    plan, gpu = make_plan(load_study("xtreme_r")), GPUS["h100-80"]
    usual, *others = layouts(plan, "xlm-r-xxl", model_placements(plan, "xlm-r-xxl", gpu)).items()
    assert usual[0].startswith("4 × ZeRO-3") and "offloaded" not in usual[0] and len(usual[1]) >= 14
    assert [tasks for _, tasks in others] == [("squad1_pairs",)]
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
    study = STUDY.model_copy(
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
    study = STUDY.model_copy(update={"placement": {"default": Placement(workers=2, zero_stage=3)}})
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


def test_scoring_is_not_slowed_by_what_training_needs() -> None:
    plan, gpu = make_plan(STUDY), GPUS["h100-80"]
    heavy = Placement(checkpoint_activations=True, offload_optimizer=True)
    for step in plan.steps.values():
        factor = step_seconds(plan, step, {}, heavy, gpu) / step_seconds(
            plan, step, {}, Placement(), gpu
        )
        assert factor == (1 if step.action == "eval" else pytest.approx(8 / 3, rel=0.1))


def test_more_workers_higher_stages_and_recomputation_need_less() -> None:
    demand, xxl = demand_of(Recipe()), MODELS["xlm-r-xxl"]

    def total(**fields: object) -> float:
        return memory(xxl, demand, Placement(**{"workers": 8, "micro_batch": 4, **fields})).total  # type: ignore[arg-type]

    assert total(zero_stage=1) > total(zero_stage=2) > total(zero_stage=3)
    assert total(zero_stage=3) > total(zero_stage=3, checkpoint_activations=True)
    assert total(zero_stage=2) > total(zero_stage=2, offload_optimizer=True)
    assert total(zero_stage=3, workers=4) > total(zero_stage=3)


def test_logits_of_a_quarter_million_pieces_count() -> None:
    recipe, base = Recipe(max_length=256), MODELS["xlm-r-base"]
    masked, plain = demand_of(recipe, {"masked_lm"}), demand_of(recipe)
    extra = memory(base, masked, Placement()).total - memory(base, plain, Placement()).total
    # 32 x 256 tokens, 15 % masked, 250,002 logits of 16 bytes with their gradients.
    assert extra / GIB == pytest.approx(0.15 * 32 * 256 * 250_002 * 16 / GIB)


def test_a_size_that_does_not_fit_says_what_would_help() -> None:
    with pytest.raises(
        ValueError, match=r"xlm-r-xxl does not fit on a node of 1 × l4-24: at best .* needs 203\."
    ):
        fitting(MODELS["xlm-r-xxl"], demand_of(Recipe()), GPUS["l4-24"])
    roomy = GPUS["a100-80"].model_copy(update={"devices_per_node": 1})
    assert fitting(MODELS["xlm-r-xxl"], demand_of(Recipe()), roomy)[1].offload_optimizer
    # Offloading needs memory on the host.
    with pytest.raises(
        ValueError,
        match=r"with an offloaded optimizer it offloads 159 GiB to the host, 92 of a node",
    ):
        fitting(
            MODELS["xlm-r-xxl"], demand_of(Recipe()), roomy.model_copy(update={"host_gib": 100})
        )


def test_a_plan_shows_what_does_not_fit_and_counts_the_rest() -> None:
    plan = make_plan(STUDY)
    found = forecast(plan, {}, GPUS["l4-24"], {}, devices=2)
    base, xxl = found.sizes
    assert base.problem == "" and base.device_hours > 0
    assert "does not fit" in xxl.problem and xxl.device_hours == 0 and xxl.cells == 2
    # XNLI trains on MNLI: alone, the arm's cell would train it twice more than needed.
    assert base.alone_device_hours > 1.3 * base.device_hours
    assert found.makespan_seconds >= found.bound_seconds > 0


def test_prices_and_measured_speed_are_used() -> None:
    plan, gpu = make_plan(STUDY), GPUS["h100-80"]
    assumed = forecast(plan, {}, gpu, {})
    mine = Prices(dated="2027-01", dollars_per_hour={"h100-80": 2 * gpu.dollars_per_hour})
    hours = assumed.sizes[0].device_hours
    assert forecast(plan, {}, gpu, {}, prices=mine).dollars(hours) == pytest.approx(
        2 * (assumed.dollars(hours) or 0)
    )
    with pytest.raises(ValueError, match="Unknown GPU in the price table 'h200-141'"):
        forecast(plan, {}, GPUS["h200-141"], {}, prices=mine)
    paying = make_plan(Study(**{**STUDY.model_dump(), "dollars_per_device_hour": 0.5}))
    own = forecast(paying, {}, gpu, {})
    assert own.dollars(hours) == pytest.approx(0.5 * hours)
    assert own.price_source == "The study's own price of a device:"
    # A table that is given with the command says more than the file.
    assert forecast(paying, {}, gpu, {}, prices=mine).dollars(1) == 2 * gpu.dollars_per_hour
    elsewhere = make_plan(
        Study(**{**STUDY.model_dump(), "dollars_per_device_hour": 0.5, "gpu": "l4-24"})
    )
    assert forecast(elsewhere, {}, gpu, {}).dollars(1) == gpu.dollars_per_hour
    assert forecast(elsewhere, {}, None, {}).dollars(1) == 0.5
    assert forecast(plan, {}, None, {}).dollars(1) is None
    twice = calibration(flops_per_second=2 * 0.2 * 989e12)
    fast = forecast(plan, {}, gpu, {"xlm-r-base": twice}).sizes[0]
    assert fast.device_hours == pytest.approx(hours / 2, rel=0.1)
    assert "measured on NVIDIA H100 80GB HBM3" in fast.basis and "assumed" in assumed.sizes[0].basis


def calibration(**fields: object) -> Calibration:
    return Calibration(
        **{
            "model": "xlm-r-base",
            "device": "NVIDIA H100 80GB HBM3",
            "device_gib": 79.1,
            "placement": Placement(),
            "flops_per_second": 1e14,
            "tokens_per_second": 1e5,
            "peak_bytes": 1,
            "predicted_bytes": 1,
            "measured_at": "2026-11-23",
            **fields,
        }
    )  # type: ignore[arg-type]


def test_a_measurement_counts_for_its_own_device_only(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    add_calibration(store, calibration())
    add_calibration(store, calibration(flops_per_second=2e14))
    add_calibration(store, calibration(device="cpu", device_gib=0.0))
    found = read_calibrations(store)
    assert [one.flops_per_second for one in found] == [2e14, 1e14]
    assert measured_on(found, GPUS["h100-80"])["xlm-r-base"].flops_per_second == 2e14
    assert measured_on(found, GPUS["h200-141"]) == {} == measured_on(found, GPUS["a100-80"])
    assert measured_on(found, None)["xlm-r-base"].device == "cpu"


def test_a_gang_that_never_starts_and_bad_placements_are_refused() -> None:
    study = STUDY.model_copy(update={"placement": {"default": Placement(workers=8, zero_stage=3)}})
    with pytest.raises(ValueError, match="--gpus 4: a gang of 8 never starts"):
        forecast(make_plan(study), {}, GPUS["h100-80"], {}, devices=4)
    with pytest.raises(
        ValidationError, match="offload_optimizer needs ZeRO stage 1, 2 or 3; this is 0"
    ):
        Placement(zero_stage=0, offload_optimizer=True)
    assert misfit(MODELS["xlm-r-xl"], demand_of(Recipe()), Placement(), GPUS["a10g-24"])
    with pytest.raises(ValidationError, match="fp16"):
        Recipe(precision="fp16")  # type: ignore[arg-type]
