"""Memory of a training: what makes it less, what makes it more."""

from __future__ import annotations

import pytest

from scaling.catalogue.hardware import GIB, Placement
from scaling.catalogue.models import MODELS
from scaling.planning.memory import demand_of, memory
from scaling.study.recipes import Recipe


def test_more_workers_higher_stages_and_recomputation_need_less() -> None:
    demand, xxl = demand_of(Recipe()), MODELS["xlm-r-xxl"]

    def total(**fields: object) -> float:
        return memory(xxl, demand, Placement(**{"workers": 8, "micro_batch": 4, **fields})).total

    assert total(zero_stage=1) > total(zero_stage=2) > total(zero_stage=3)
    assert total(zero_stage=3) > total(zero_stage=3, checkpoint_activations=True)
    assert total(zero_stage=2) > total(zero_stage=2, offload_optimizer=True)
    assert total(zero_stage=3, workers=4) > total(zero_stage=3)


def test_logits_of_a_quarter_million_pieces_count() -> None:
    recipe, base = Recipe(max_length=256), MODELS["xlm-r-base"]
    masked, plain = demand_of(recipe, {"masked_lm"}), demand_of(recipe)
    logits = 0.15 * 32 * 256 * 250_002 * 16
    # 32 x 256 tokens, 15 % masked, 250,002 logits of 16 bytes with their gradients.
    assert memory(base, masked, Placement()).logits / GIB == pytest.approx(logits / GIB)
    # Where the step is the worst moment there are neither.
    assert memory(base, demand_of(Recipe(max_length=64)), Placement()).activations == 0
    assert memory(base, masked, Placement()).total > memory(base, plain, Placement()).total


LAYOUTS = [(1, 1), (2, 1), (4, 1), (2, 2), (8, 2), (4, 3), (8, 3)]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("size", "workers", "stage", "few_rows", "passes"),
    [
        # Half a share of the embedding, in either way of the planner's rows; ZeRO-2 keeps whole
        # tensors, and all of them twice where an update has several passes.
        ("xlm-r-base", 2, 2, True, 2),
        *(
            pytest.param(size, workers, stage, few_rows, 1 + few_rows, marks=pytest.mark.slow)
            for few_rows in (False, True)
            for size in ("xlm-r-base", "xlm-r-large", "xlm-r-xl", "xlm-r-xxl")
            for workers, stage in LAYOUTS
        ),
    ],
)
def test_the_real_engine_never_holds_more_than_is_predicted(
    size: str, workers: int, stage: int, few_rows: bool, passes: int
) -> None:
    pytest.importorskip("deepspeed")
    from tests.helpers.fake_world import Asked, as_ranks

    placement = Placement(workers=workers, zero_stage=stage, micro_batch=1).model_dump()
    found = as_ranks(
        [
            Asked(size=size, placement=placement, rank=rank, few_rows=few_rows, passes=passes)
            for rank in sorted({0, workers - 1})
        ]
    )
    most = max(one.peak for one in found)
    assert most <= found[0].predicted <= 1.15 * most


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_two_real_ranks_hold_what_fake_ones_do(stage: int) -> None:
    pytest.importorskip("deepspeed")
    from tests.helpers.fake_world import Asked, as_ranks, as_real_ranks

    placement = Placement(workers=2, zero_stage=stage, micro_batch=1).model_dump()
    real = as_real_ranks("xlm-r-base", placement)
    fake = as_ranks([Asked(size="xlm-r-base", placement=placement, rank=rank) for rank in (0, 1)])
    for one, other in zip(real, fake, strict=True):
        assert one.peak == pytest.approx(other.peak, rel=0.01)
        assert one.collectives == other.collectives
