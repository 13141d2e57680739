"""What a few real updates say: the price of an update, and why none could be made."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from scaling.catalogue.hardware import Placement
from scaling.study.recipes import Recipe
from scaling.training.measure import Request, fitted, measure


def test_two_lengths_give_the_price_of_an_update_and_of_its_tokens() -> None:
    # 0.02 s an update, 1e12 FLOP/s of both workers.
    costs = [(flops, 0.02 + flops / 1e12) for flops in (1e9, 5e10)]
    seconds, rate = fitted(costs, workers=2)
    assert seconds == pytest.approx(0.02) and rate == pytest.approx(5e11)
    # Long texts need four passes where short ones share one: an update of 12 ms and passes of 2 ms.
    costs = [(1e9, 0.014 + 1e-3), (5e10, 0.020 + 5e-2)]
    seconds, rate = fitted(costs, workers=1, own=(14.0, 20.0))
    assert seconds == pytest.approx(0.014) and rate == pytest.approx(1e12)
    # Noise: the short one took longer. One rate for all is left.
    assert fitted([(1e9, 0.2), (5e10, 0.1)], workers=1) == (0.0, pytest.approx(5e11))


@pytest.mark.torch
def test_a_rank_that_fails_is_named_although_others_wait(tmp_path: Path) -> None:
    request = Request(
        weights=str(tmp_path / "nowhere"),
        architecture="xlm-roberta",
        recipe=Recipe(batch=2, precision="fp32").model_dump(),
        placement=Placement(workers=1, zero_stage=0, micro_batch=2).model_dump(),
        lengths=[8],
        warm=1,
        updates=1,
    )
    with pytest.raises(RuntimeError, match=r"rank 0: [\s\S]*nowhere"):
        measure(request)
