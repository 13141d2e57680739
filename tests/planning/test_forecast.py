"""What a study takes, with prices and measured speed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from scaling.catalogue.hardware import GEMM_SHARE, GPUS, Placement
from scaling.catalogue.models import MODELS
from scaling.planning.fitting import misfit
from scaling.planning.forecast import Prices, forecast
from scaling.planning.memory import demand_of
from scaling.study.plan import make_plan
from scaling.study.recipes import Recipe
from scaling.study.study import Study
from tests.helpers.measured import calibration
from tests.helpers.studies import BASE_AND_XXL


def test_a_plan_shows_what_does_not_fit_and_counts_the_rest() -> None:
    plan = make_plan(BASE_AND_XXL)
    found = forecast(plan, {}, GPUS["l4-24"], {}, devices=2)
    base, xxl = found.sizes
    assert base.problem == "" and base.device_hours > 0
    assert "does not fit" in xxl.problem and xxl.device_hours == 0 and xxl.cells == 2
    # XNLI trains on MNLI: alone, the arm's cell would train it twice more than needed.
    assert base.alone_device_hours > 1.3 * base.device_hours
    assert found.makespan_seconds >= found.bound_seconds > 0


def test_prices_and_measured_speed_are_used() -> None:
    plan, gpu = make_plan(BASE_AND_XXL), GPUS["h100-80"]
    assumed = forecast(plan, {}, gpu, {})
    mine = Prices(dated="2027-01", dollars_per_hour={"h100-80": 2 * gpu.dollars_per_hour})
    hours = assumed.sizes[0].device_hours
    assert forecast(plan, {}, gpu, {}, prices=mine).dollars(hours) == pytest.approx(
        2 * (assumed.dollars(hours) or 0)
    )
    with pytest.raises(ValueError, match="Unknown GPU in the price table 'h200-141'"):
        forecast(plan, {}, GPUS["h200-141"], {}, prices=mine)
    # Twice the rate shortens what tokens take, not what updates do.
    twice = calibration(flops_per_second=2 * GEMM_SHARE * 989e12)
    fast = forecast(plan, {}, gpu, {"xlm-r-base": twice}).sizes[0]
    assert 0.5 * hours < fast.device_hours < hours
    slow = twice.model_copy(update={"update_seconds": 1.0})
    assert forecast(plan, {}, gpu, {"xlm-r-base": slow}).sizes[0].device_hours > hours
    assert "measured on NVIDIA H100 80GB HBM3" in fast.basis and "assumed" in assumed.sizes[0].basis


def test_what_the_study_pays_is_the_price_of_its_own_devices() -> None:
    gpu = GPUS["h100-80"]
    fields = {**BASE_AND_XXL.model_dump(), "dollars_per_device_hour": 0.5}
    plan = make_plan(Study(**fields))
    paying = forecast(plan, {}, gpu, {})
    assert paying.dollars(4) == 2
    assert paying.price_source == "The study's own price of a device:"
    # A table that is given with the command says more than the file.
    table = Prices(dated="2027-01", dollars_per_hour={"h100-80": 7.0})
    assert forecast(plan, {}, gpu, {}, prices=table).dollars(1) == 7
    other = make_plan(Study(**{**fields, "gpu": "l4-24"}))
    assert forecast(other, {}, gpu, {}).dollars(1) == gpu.dollars_per_hour
    assert forecast(other, {}, GPUS["l4-24"], {}).dollars(1) == 0.5
    assert forecast(plan, {}, None, {}).dollars(1) == 0.5
    assert forecast(make_plan(BASE_AND_XXL), {}, None, {}).dollars(1) is None


def test_a_gang_that_never_starts_and_bad_placements_are_refused() -> None:
    study = BASE_AND_XXL.model_copy(
        update={"placement": {"default": Placement(workers=8, zero_stage=3)}}
    )
    with pytest.raises(ValueError, match="--gpus 4: a gang of 8 never starts"):
        forecast(make_plan(study), {}, GPUS["h100-80"], {}, devices=4)
    with pytest.raises(
        ValidationError, match="offload_optimizer needs ZeRO stage 1, 2 or 3; this is 0"
    ):
        Placement(zero_stage=0, offload_optimizer=True)
    assert misfit(MODELS["xlm-r-xl"], demand_of(Recipe()), Placement(), GPUS["a10g-24"])
    with pytest.raises(ValidationError, match="fp16"):
        Recipe(precision="fp16")  # type: ignore[arg-type]
