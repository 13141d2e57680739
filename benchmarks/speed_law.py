"""Seconds of an update as a plan says them after two measurements, against measured ones.

Both measurements and the tasks that are predicted take turns, round by round, in one process: what
else the machine does hits all alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.peers import Case, made, started, timed
from benchmarks.random_models import write_model
from scaling.catalogue.hardware import GpuSpec, Placement
from scaling.catalogue.models import ModelSpec
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.encoders.world import World
from scaling.planning.calibration import Calibration
from scaling.planning.speed import price_of
from scaling.training.measure import SHORT, fitted

# What `scaling calibrate` measures: texts of a few tokens, and the task with the most tokens.
CALIBRATED = {"calibrated short": SHORT, "calibrated long": 110}
# Median tokens of the tasks that are predicted; none of them is one that is measured for it.
PREDICTED = {"short task": 20, "long task": 80}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One task's updates, over all rounds."""

    tokens: int
    """Real tokens of an update."""
    length: int
    """Of a text in the mean."""
    seconds: float
    """Of an update."""


def measured(
    model: ModelSpec,
    world: World,
    placement: Placement,
    folder: Path,
    case: Case,
    rounds: int,
    updates: int,
    dtype: torch.dtype,
) -> dict[str, Measured]:
    """By task, all trained by one engine; the tasks take turns."""
    medians = {**CALIBRATED, **PREDICTED}
    features: dict[str, Features] = {
        name: made(
            replace(case, name=name, median=median),
            case.batch * updates * (rounds + 1),
            model.vocab_rows,
            spread=0.0 if median == SHORT else 0.7,
        )
        for name, median in medians.items()
    }
    total = {name: [0, 0.0] for name in medians}
    with closing(started(case, write_model(model, folder, dtype), world, placement)) as engine:
        orders = {
            name: training_order(one.num_units, case.recipe, 0) for name, one in features.items()
        }
        for turn in range(rounds + 1):
            for name, one in features.items():
                part = orders[name][turn * updates : (turn + 1) * updates]
                tokens, seconds = timed(engine, case, one, placement, part)
                # The first round warms up.
                if turn:
                    total[name][0] += tokens
                    total[name][1] += seconds
    number = rounds * updates
    return {
        name: Measured(
            tokens=round(tokens / number),
            length=round(tokens / number / case.batch),
            seconds=seconds / number,
        )
        for name, (tokens, seconds) in total.items()
    }


def predicted(
    model: ModelSpec, found: Mapping[str, Measured], placement: Placement, gpu: GpuSpec | None
) -> dict[str, float]:
    """Seconds of an update of each task, as `scaling plan` says after `scaling calibrate`."""
    costs = [
        (model.train_flops_per_token(one.length) * one.tokens, one.seconds)
        for one in (found[name] for name in CALIBRATED)
    ]
    own, rate = fitted(costs, placement.workers)
    known = Calibration.model_construct(
        placement=placement, update_seconds=own, flops_per_second=rate
    )
    price = price_of(model, placement, gpu, training=True, fresh=True, known=known)
    return {
        name: price.seconds(
            updates=1, passes=1, flops=model.train_flops_per_token(one.length) * one.tokens
        )
        for name, one in found.items()
    }


def errors(
    models: Sequence[ModelSpec],
    world: World,
    placement: Placement,
    folder: Path,
    case: Case,
    gpu: GpuSpec | None,
    rounds: int = 3,
    updates: int = 2,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[str, float, float]]:
    """(size and task, predicted, measured seconds of an update)."""
    for model in models:
        found = measured(model, world, placement, folder / model.name, case, rounds, updates, dtype)
        said = predicted(model, found, placement, gpu)
        for name in PREDICTED:
            yield f"{model.name}, {name}", said[name], found[name].seconds
