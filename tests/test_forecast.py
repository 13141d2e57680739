"""The planner: what fits where, and what would help; what a study takes; every refusal with its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from scaling.calibration import Calibration, add_calibration, measured_on, read_calibrations
from scaling.estimate import placements
from scaling.forecast import Prices, forecast
from scaling.hardware import GIB, GPUS, Placement
from scaling.memory import USABLE, memory, misfit, plan_placement
from scaling.models import MODELS
from scaling.plan import make_plan
from scaling.recipes import Recipe
from scaling.store import Store
from scaling.study import Study

SIZES = [MODELS[name] for name in ("xlm-r-base", "xlm-r-large", "xlm-r-xl", "xlm-r-xxl")]
STUDY = Study(name="s", models=("xlm-r-base", "xlm-r-xxl"), arms=("none", "mnli"), targets=("xnli",), seeds=(0,))  # type: ignore[arg-type]


@pytest.mark.parametrize("gpu", [GPUS["a100-40"], GPUS["h100-80"], GPUS["h200-141"]], ids=lambda gpu: gpu.name)
@pytest.mark.parametrize("model", SIZES, ids=lambda model: model.name)
@settings(max_examples=24, deadline=None)
@given(length=st.sampled_from([64, 128, 384, 512]), batch=st.sampled_from([8, 16, 32]), masked=st.booleans())
def test_what_is_chosen_fits_and_divides(model, gpu, length: int, batch: int, masked: bool) -> None:  # type: ignore[no-untyped-def]
    recipe = Recipe(max_length=length, batch=batch)
    try:
        placement = plan_placement(model, recipe, gpu, masked=masked)
    except ValueError:
        # Only the largest on the smallest, and only with what is longest.
        assert (model.name, gpu.name) == ("xlm-r-xxl", "a100-40")
        return
    assert placement.share(batch) * placement.workers == batch and placement.micro_batch <= placement.share(batch)
    assert memory(model, recipe, placement, masked=masked).total <= USABLE * gpu.memory_gib * GIB
    assert placement.zero_stage >= 1


def test_pairs_that_are_each_others_negatives_stay_in_one_pass() -> None:
    study = STUDY.model_copy(update={"targets": ("lareqa",), "arms": STUDY.arms[:1], "models": ("xlm-r-xxl",)})
    placement = placements(study, GPUS["h100-80"])["xlm-r-xxl"]
    assert placement.share(study.recipe("squad1_pairs").batch) % 8 == 0


def test_more_workers_higher_stages_and_recomputation_need_less() -> None:
    recipe, xxl = Recipe(), MODELS["xlm-r-xxl"]

    def total(**fields: object) -> float:
        return memory(xxl, recipe, Placement(**{"workers": 8, "micro_batch": 4, **fields})).total  # type: ignore[arg-type]

    assert total(zero_stage=1) > total(zero_stage=2) > total(zero_stage=3)
    assert total(zero_stage=3) > total(zero_stage=3, checkpoint_activations=True)
    assert total(zero_stage=2) > total(zero_stage=2, offload_optimizer=True)
    assert total(zero_stage=3, workers=4) > total(zero_stage=3)


def test_logits_of_a_quarter_million_pieces_count() -> None:
    recipe, base = Recipe(max_length=256), MODELS["xlm-r-base"]
    extra = memory(base, recipe, Placement(), masked=True).total - memory(base, recipe, Placement()).total
    # 32 x 256 tokens, 15 % masked, 250,002 logits of 16 bytes with their gradients.
    assert extra / GIB == pytest.approx(0.15 * 32 * 256 * 250_002 * 16 / GIB)


def test_a_size_that_does_not_fit_says_what_would_help() -> None:
    with pytest.raises(ValueError, match=r"xlm-r-xxl does not fit on a node of 1 × l4-24: at best .* needs 203\."):
        plan_placement(MODELS["xlm-r-xxl"], Recipe(), GPUS["l4-24"])
    roomy = GPUS["a100-80"].model_copy(update={"devices_per_node": 1})
    assert plan_placement(MODELS["xlm-r-xxl"], Recipe(), roomy).offload_optimizer
    # Offloading needs memory on the host.
    with pytest.raises(ValueError, match=r"with an offloaded optimizer it offloads 159 GiB to the host, 92 of a node"):
        plan_placement(MODELS["xlm-r-xxl"], Recipe(), roomy.model_copy(update={"host_gib": 100}))


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
    assert forecast(plan, {}, gpu, {}, prices=mine).dollars(hours) == pytest.approx(2 * (assumed.dollars(hours) or 0))
    with pytest.raises(ValueError, match="Unknown GPU in the price table 'h200-141'"):
        forecast(plan, {}, GPUS["h200-141"], {}, prices=mine)
    twice = calibration(flops_per_second=2 * 0.2 * 989e12)
    fast = forecast(plan, {}, gpu, {"xlm-r-base": twice}).sizes[0]
    assert fast.device_hours == pytest.approx(hours / 2, rel=0.1)
    assert "measured on NVIDIA H100 80GB HBM3" in fast.basis and "assumed" in assumed.sizes[0].basis


def calibration(**fields: object) -> Calibration:
    return Calibration(
        **{
            "model": "xlm-r-base", "device": "NVIDIA H100 80GB HBM3", "device_gib": 79.1, "placement": Placement(),
            "flops_per_second": 1e14, "tokens_per_second": 1e5, "peak_bytes": 1, "predicted_bytes": 1,
            "measured_at": "2026-11-23", **fields,
        }
    )  # type: ignore[arg-type]  # fmt: skip


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
    with pytest.raises(ValidationError, match="offload_optimizer needs ZeRO stage 1, 2 or 3; this is 0"):
        Placement(zero_stage=0, offload_optimizer=True)
    assert misfit(MODELS["xlm-r-xl"], Recipe(), Placement(), GPUS["a10g-24"])
    with pytest.raises(ValidationError, match="fp16"):
        Recipe(precision="fp16")  # type: ignore[arg-type]
