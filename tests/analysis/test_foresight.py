"""Would the small sizes have told you?"""

from __future__ import annotations

import numpy as np
import pytest

from analysis.estimands import balanced
from analysis.foresight import decisions
from tests.helpers.panels import panel_of


def test_the_small_sizes_tell_what_they_share_with_the_largest() -> None:
    """Arms keep their order except at size b, where it is turned; one of three arms harms."""
    effect = np.array([3.0, 1.0, -2.0])
    by_size = np.stack([effect, -effect, effect, effect])
    rng = np.random.default_rng(0)
    series = [(arm, target, "sw") for arm in "pqr" for target in ("t0", "t1")]
    y = np.repeat(by_size, 2, axis=1)[:, None, :] + 0.01 * rng.standard_normal((4, 3, 6))
    found = decisions(balanced(panel_of(y, series)))
    assert found["order"].to_list() == [1.0, 0.0, 1.0, 1.0]
    assert found["helps"].to_list() == [1.0, 0.0, 1.0, 1.0]
    assert found["pairs"].to_list() == [6, 6, 6, 6]
    assert found["lost"].to_list()[:3] == pytest.approx([0.0, 5.0, 0.0], abs=0.05)


def test_choices_between_equal_arms_are_a_coin() -> None:
    rng = np.random.default_rng(1)
    series = [(f"a{i}", f"t{j}", "sw") for i in range(6) for j in range(20)]
    found = decisions(balanced(panel_of(rng.standard_normal((4, 3, 120)), series)))
    assert found["order"].to_list() == pytest.approx([0.5] * 4, abs=0.12)
