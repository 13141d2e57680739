"""When a training has collapsed by its own record."""

from __future__ import annotations

import pytest

from scaling.study.collapse import has_collapsed


@pytest.mark.parametrize(
    ("score", "chance", "num", "want"),
    [
        (0.34, 1 / 3, 2490, True),
        (0.45, 1 / 3, 2490, False),
        (0.005, 0.0, 2490, True),  # F1: two standard errors of zero are zero
        (0.049, 0.0, 2490, True),
        (0.06, 0.0, 2490, False),
        (0.5, 0.5, 499, False),  # too few to judge
        (0.5, 0.5, 500, True),
    ],
)
def test_by_its_own_record(score: float, chance: float, num: int, want: bool) -> None:
    assert has_collapsed(score, chance, num) is want
