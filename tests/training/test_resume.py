"""How often a training saves itself."""

from __future__ import annotations

import pytest

from scaling.catalogue.models import MODELS
from scaling.training.resume import LOSS_SECONDS, SAVING_SHARE, interval, planned_save_seconds


def test_a_quarter_of_an_hour_is_lost_at_most_where_saving_is_cheap() -> None:
    for seconds in (0.0, 10.0, SAVING_SHARE * LOSS_SECONDS):
        assert interval(seconds) == LOSS_SECONDS


def test_dear_saving_is_spaced_by_what_it_costs() -> None:
    # sqrt(2 x 750 s x 6 h)
    assert interval(750.0) == pytest.approx(5692, abs=1)
    xxl = planned_save_seconds(MODELS["xlm-r-xxl"].total_params, 4)
    assert 700 < xxl < 800 and xxl / interval(xxl) < 0.15
