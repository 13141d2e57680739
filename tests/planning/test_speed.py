"""Seconds of a step."""

from __future__ import annotations

import pytest

from scaling.catalogue.hardware import GPUS, Placement
from scaling.planning.speed import step_seconds
from scaling.study.plan import make_plan
from tests.helpers.studies import BASE_AND_XXL


def test_scoring_is_not_slowed_by_what_training_needs() -> None:
    plan, gpu = make_plan(BASE_AND_XXL), GPUS["h100-80"]
    heavy = Placement(checkpoint_activations=True, offload_optimizer=True)
    for step in plan.steps.values():
        factor = step_seconds(plan, step, {}, heavy, gpu) / step_seconds(
            plan, step, {}, Placement(), gpu
        )
        assert factor == (1 if step.action == "eval" else pytest.approx(8 / 3, rel=0.1))
