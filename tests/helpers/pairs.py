"""Pairs that are each other's negatives, trained and ranked on any number of ranks."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np

from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import TaskSpec
from scaling.data.features import Features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.study.recipes import Recipe
from scaling.training.evaluation import predict
from scaling.training.loop import run_updates
from tests.helpers.one_run import one_run

TASK = TaskSpec(name="made-up-pairs", kind="retrieval", metric="map_at_20")
# Two groups of eight an update; 24 updates.
RECIPE = Recipe(
    batch=16,
    epochs=8,
    learning_rate=5e-3,
    dropout=0.0,
    precision="fp32",
    weight_decay=0.01,
    max_length=18,
)


def features() -> Features:
    rng, pairs = np.random.default_rng(0), 48
    ids, targets = [], []
    for pair in range(pairs):
        # Every sixth passage is that of the pair before. What both sides share can be learnt.
        passage = pair - (pair % 6 == 5)
        word = 10 + passage
        for target in (-passage - 1, passage):
            ids.append(np.array([0, word, *rng.integers(60, 80, rng.integers(2, 12)), 2]))
            targets.append(target)
    return Features(input_ids=ids, targets=targets, units=np.arange(2 * pairs) // 2, cut=0)


def train_pairs(weights: Weights, world: World, stage: int) -> dict[str, Any]:
    """Losses of the updates, and what each question is nearest to afterwards."""
    kind, given = KINDS["retrieval"], features()
    # Room for less than a group on each rank: the smallest pass that the ranks can share.
    placement = Placement(workers=world.size, zero_stage=stage, micro_batch=2)
    with closing(
        start_training(
            weights, lambda hidden: kind.head(hidden, TASK, RECIPE), RECIPE, placement, world, 0
        )
    ) as engine:
        losses = run_updates(one_run(engine, placement, given, kind, RECIPE))
        predicted = predict(engine.core, given, kind, RECIPE, world)
    assert predicted.vectors is not None
    numbers = np.array(predicted.each)
    # Some candidates twice, in the order of no rank.
    candidates = np.concatenate([numbers[1::2], numbers[1:20:2]])[::-1]
    scores, nearest = predicted.vectors.nearest(numbers[::2], candidates, 5, 0)
    return {
        "losses": list(losses.per_update),
        "scores": scores.tolist(),
        "nearest": nearest.tolist(),
    }
