"""A training of one task, as `run_updates` takes it."""

from __future__ import annotations

from scaling.catalogue.hardware import Placement
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.encoders.engine import Engine
from scaling.kinds.kind import Kind
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun


def one_run(
    engine: Engine, placement: Placement, features: Features, kind: Kind, recipe: Recipe
) -> TrainingRun:
    order = training_order(features.num_units, recipe, 0)
    return TrainingRun(
        engine=engine,
        streams=[Stream(features=features, kind=kind, recipe=recipe, order=order)],
        turns=[0] * len(order),
        recipe=recipe,
        placement=placement,
        seed=0,
    )
