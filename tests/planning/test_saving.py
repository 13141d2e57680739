"""How often a training saves itself, and what a notice leaves time for."""

from __future__ import annotations

import pytest

from scaling.catalogue.hardware import GPUS
from scaling.catalogue.models import MODELS
from scaling.cli.plan_notes import plan_notes
from scaling.planning.forecast import forecast
from scaling.planning.saving import (
    LOSS_SECONDS,
    SAVING_SHARE,
    interval,
    planned_save_seconds,
    saved_by_a_notice,
)
from scaling.study.plan import make_plan
from tests.helpers.studies import BASE_AND_XXL


def test_a_quarter_of_an_hour_is_lost_at_most_where_saving_is_cheap() -> None:
    for seconds in (0.0, 10.0, SAVING_SHARE * LOSS_SECONDS):
        assert interval(seconds) == LOSS_SECONDS


def test_dear_saving_is_spaced_by_what_it_costs() -> None:
    # sqrt(2 x 750 s x 6 h)
    assert interval(750.0) == pytest.approx(5692, abs=1)
    xxl = planned_save_seconds(MODELS["xlm-r-xxl"].total_params, 4)
    assert 700 < xxl < 800 and xxl / interval(xxl) < 0.15
    # Ten times the rate, a tenth of the time.
    assert planned_save_seconds(1_000, 1, 500e6) == pytest.approx(
        planned_save_seconds(1_000, 1) / 10
    )


def test_a_plan_says_what_a_notice_saves() -> None:
    assert saved_by_a_notice(78.0) and not saved_by_a_notice(101.0)
    plan = make_plan(BASE_AND_XXL)
    found = forecast(plan, {}, GPUS["h100-80"], {})
    (note,) = (line for line in plan_notes(plan, {}, found) if line.startswith("Spot:"))
    # 14 bytes of each of 277 million parameters at 50 MB/s.
    assert "xlm-r-base 78 s (saved by a notice, at most 30 min 31 s lost without)" in note
    assert "too long for a notice" in note.partition("xlm-r-xxl")[2]
    # CPUs have no spot market.
    on_cpus = forecast(make_plan(BASE_AND_XXL), {}, None, {})
    assert not any(line.startswith("Spot:") for line in plan_notes(plan, {}, on_cpus))
