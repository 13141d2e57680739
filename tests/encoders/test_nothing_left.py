"""Nothing of a step survives it: what a training or a scoring held is free for the next one."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.helpers.leftovers import ROUNDS, WAYS, leftovers

pytestmark = pytest.mark.torch

MOST = 64_000


@pytest.mark.parametrize(
    ("workers", "ways"),
    [
        (1, tuple(WAYS)),
        (2, ("ZeRO-2", "ZeRO-3, recomputed")),
        pytest.param(2, tuple(WAYS), marks=pytest.mark.slow),
    ],
)
def test_a_closed_step_leaves_nothing(workers: int, ways: tuple[str, ...]) -> None:
    for way, found in leftovers(workers, ways).items():
        for what, sizes in found.items():
            assert len(sizes) == ROUNDS
            assert max(sizes) <= MOST, (way, what, sizes)
            assert sizes[-1] <= sizes[0] + 1_000, (way, what, sizes)
