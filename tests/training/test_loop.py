"""What an update asks of a device, and what becomes of one whose gradient is no number."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from benchmarks.peers import Case, Precision, made, ours
from benchmarks.random_models import shape, write_model
from scaling.catalogue.hardware import Placement
from scaling.encoders.engine import join_world
from scaling.encoders.world import World
from scaling.training.loop import NonFiniteLoss
from tests.helpers.budget import count_updates

pytestmark = pytest.mark.torch

KINDS = ("classification", "multiple_choice", "tagging", "span_qa", "retrieval", "masked_lm")
TINY = shape("tiny", 2, 64, vocab=300, heads=4)


@pytest.fixture(scope="module")
def world() -> World:
    return join_world()


@pytest.mark.parametrize(
    ("kind", "stage"), [*((kind, 1) for kind in KINDS), ("tagging", 2), ("tagging", 3)]
)
def test_an_update_waits_for_the_device_at_its_end_alone(
    world: World, kind: str, stage: int
) -> None:
    count = count_updates(TINY, kind, Placement(zero_stage=stage, micro_batch=8), world)
    assert count.passes > count.updates
    waits = count.budget.waits
    assert not [where for where in waits if where.startswith(("forward", "backward"))], waits
    assert sum(waits.values()) <= (3 if stage == 3 else 1) * count.updates, waits


@pytest.mark.parametrize(("layers", "stage"), [(12, 1), (12, 3), (36, 2)])
def test_an_update_launches_two_kernels_a_tensor(world: World, layers: int, stage: int) -> None:
    model = shape("narrow", layers, 64, vocab=300, heads=4, xl=layers > 24)
    count = count_updates(model, "tagging", Placement(zero_stage=stage, micro_batch=16), world)
    assert count.tensors > 16 * layers
    steps = count.budget.launches["step"] / count.updates
    assert count.tensors < steps <= 2 * count.tensors + 150


@pytest.mark.parametrize(("stage", "precision"), [(1, "fp32"), (1, "bf16"), (3, "bf16")])
def test_a_gradient_that_is_no_number_is_named_also_in_the_last_update(
    world: World, tmp_path: Path, stage: int, precision: Precision
) -> None:
    case = Case(name="short", kind="tagging", median=8, longest=16, batch=4, precision=precision)
    weights = write_model(TINY, tmp_path / "model")
    run, engine = ours(
        case,
        weights,
        made(case, 16, TINY.vocab_rows),
        world,
        Placement(zero_stage=stage, micro_batch=4),
    )
    with closing(engine):
        run(2)
        spoilt = engine.model.encoder.encoder.layer[1].output.dense.bias  # type: ignore[union-attr, index]
        spoilt.register_hook(lambda gradient: torch.full_like(gradient, torch.inf))
        with pytest.raises(NonFiniteLoss, match="norm of the gradient is inf at update 1 of 1"):
            run(1)
