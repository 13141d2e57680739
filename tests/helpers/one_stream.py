"""A training of one task, as `run_updates` takes it."""

from __future__ import annotations

from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.kinds.kind import Kind
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream


def one_stream(features: Features, kind: Kind, recipe: Recipe) -> tuple[list[Stream], list[int]]:
    order = training_order(features.num_units, recipe, 0)
    return [Stream(features=features, kind=kind, recipe=recipe, order=order)], [0] * len(order)
