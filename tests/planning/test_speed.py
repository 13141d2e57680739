"""Seconds of a step."""

from __future__ import annotations

import pytest

from scaling.catalogue.hardware import GPUS, Placement
from scaling.catalogue.models import MODELS
from scaling.planning.speed import passes_of, price_of, price_on, step_seconds
from scaling.study.flops import step_updates
from scaling.study.plan import make_plan
from tests.helpers.measured import calibration
from tests.helpers.studies import BASE_AND_XXL


def test_scoring_is_not_slowed_by_what_training_needs() -> None:
    plan, gpu = make_plan(BASE_AND_XXL), GPUS["h100-80"]
    heavy = Placement(checkpoint_activations=True, offload_optimizer=True)
    for step in plan.steps.values():
        factor = step_seconds(plan, step, {}, heavy, gpu) / step_seconds(
            plan, step, {}, Placement(), gpu
        )
        assert factor == 1 if step.action == "eval" else factor > 1.05


@pytest.mark.parametrize(
    ("size", "workers", "stage", "low", "high"),
    [
        ("xlm-r-base", 1, 1, 15, 31),
        ("xlm-r-large", 1, 1, 30, 60),
        ("xlm-r-xl", 2, 1, 100, 160),
        ("xlm-r-xxl", 4, 3, 250, 400),
    ],
)
def test_an_update_of_a_short_batch_costs_more_than_its_tokens(
    size: str, workers: int, stage: int, low: float, high: float
) -> None:
    """Milliseconds on an H100, within what was worked out by hand from counts and bandwidths."""
    model, gpu = MODELS[size], GPUS["h100-80"]
    placement = Placement(workers=workers, zero_stage=stage, micro_batch=32 // workers)
    price = price_on(model, placement, gpu, training=True, fresh=True)
    tokens = 1_350 * model.train_flops_per_token(42) / price.flops
    assert low < 1e3 * (price.update + price.pass_ + tokens) < high
    assert tokens < price.update + price.pass_


def test_an_offloaded_step_is_paid_by_what_it_moves() -> None:
    model, gpu = MODELS["xlm-r-xxl"], GPUS["h100-80"]
    placement = Placement(workers=2, zero_stage=2, micro_batch=16)
    near = price_on(model, placement, gpu, training=True, fresh=True)
    far = price_on(
        model,
        placement.model_copy(update={"offload_optimizer": True}),
        gpu,
        training=True,
        fresh=True,
    )
    assert far.update > 5 * near.update and far.update > 1.0


def test_two_lengths_measured_give_the_price_of_an_update() -> None:
    plan = make_plan(BASE_AND_XXL)
    step = next(step for step in plan.steps.values() if step.action == "train")
    one = calibration(device="cpu", device_gib=0.0, flops_per_second=1e11)
    two = one.model_copy(update={"update_seconds": 0.25})
    seconds = [
        step_seconds(plan, step, {}, Placement(), None, {step.model: known}) for known in (one, two)
    ]
    updates = step_updates(plan, step, {})
    assert updates > 100
    assert seconds[1] - seconds[0] == pytest.approx(0.25 * updates)


def test_short_texts_share_a_pass_and_long_ones_do_not() -> None:
    narrow = Placement(workers=2, zero_stage=2, micro_batch=4)

    def passes(tokens: float, sequences: int = 32) -> int:
        return passes_of(narrow, 32, 128, tokens=tokens, sequences=sequences)

    # Passes of 4 x 128 tokens on each of two workers.
    assert passes(1_000) == 1 and passes(1_025) == 2
    # All as long as they may be: 16 sequences of a worker, four at a time, and never more passes.
    assert passes(32 * 128) == passes(10**9) == 4
    assert passes(10**9, sequences=128) == 16


def test_what_was_measured_of_a_short_update_is_its_own_price_with_one_pass() -> None:
    model, gpu = MODELS["xlm-r-base"], GPUS["h100-80"]
    placement = Placement(micro_batch=8)
    known = calibration(
        model="xlm-r-base", placement=placement, update_seconds=0.03, flops_per_second=1e14
    )
    price = price_of(model, placement, gpu, training=True, fresh=True, known=known)
    assert price.seconds(updates=1, passes=1, flops=0.0) == pytest.approx(0.03)
    assert price.flops == pytest.approx(1e14)
    # Its parts keep the proportion that bandwidths and counts give them.
    plain = price_on(model, placement, gpu, training=True, fresh=True)
    assert price.pass_ / price.update == pytest.approx(plain.pass_ / plain.update)
    four = price.seconds(updates=1, passes=4, flops=0.0)
    assert four - 0.03 == pytest.approx(3 * price.pass_)


def test_whoever_shares_a_device_waits_only_while_others_compute() -> None:
    model, gpu = MODELS["xlm-r-base"], GPUS["h100-80"]

    def seconds(sharing: int, tokens: int) -> float:
        price = price_on(model, Placement(sharing=sharing), gpu, training=True, fresh=True)
        flops = tokens * model.train_flops_per_token(42)
        return price.seconds(updates=1, passes=1, flops=flops)

    # Short batches leave the device idle for almost half of the time; long ones fill it.
    assert seconds(1, 1_350) <= seconds(2, 1_350) < 1.15 * seconds(1, 1_350)
    assert seconds(4, 1_350) > 2 * seconds(1, 1_350)
    assert seconds(2, 10**6) == pytest.approx(2 * seconds(1, 10**6), rel=0.05)
