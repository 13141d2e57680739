"""The rate of every update, and the best of the weights by English dev data."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("deepspeed")

import torch

from scaling.catalogue.hardware import Placement
from scaling.encoders.checkpoint import read_index
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import Engine, join_world, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.study.lora import Lora
from scaling.study.recipes import Recipe
from scaling.training.loop import Losses, Preempted, learning_rate, run_updates
from scaling.training.resume import ResumePoint
from tests.helpers import layout_worker
from tests.helpers.one_stream import one_stream
from tests.helpers.tiny import make_model

UPDATES = 20
RECIPE = layout_worker.RECIPE.model_copy(update={"select_every": 6})
KIND = KINDS["classification"]


def rates(updates: int, **fields: float) -> list[float]:
    recipe = Recipe(learning_rate=1.0, **fields)
    return [round(learning_rate(at, updates, recipe), 4) for at in range(updates)]


def test_the_rate_rises_over_a_share_or_so_many_updates_and_falls_to_zero() -> None:
    assert rates(5, warmup=0.4) == [0.5, 1.0, 1.0, 0.6667, 0.3333]
    assert rates(4, warmup=0.0) == [1.0, 0.75, 0.5, 0.25]
    assert rates(4, warmup_updates=2) == [0.5, 1.0, 1.0, 0.5]
    # XTREME's 500 updates are more than TyDiQA has: the rate is cut off while it rises.
    assert rates(4, warmup_updates=8) == [0.125, 0.25, 0.375, 0.5]


@pytest.fixture(scope="module")
def world() -> World:
    return join_world()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("loop") / "m"
    make_model(folder, "xlm-roberta", 2)
    return Weights(folder=folder, architecture="xlm-roberta", kept_rows=None)


def engine_of(
    weights: Weights, world: World, placement: Placement, lora: Lora | None = None
) -> Engine:
    return start_training(
        weights,
        lambda hidden: KIND.head(hidden, layout_worker.TASK, RECIPE),
        RECIPE,
        placement,
        world,
        seed=0,
        lora=lora,
    )


class Dev:
    """Dev scores that are given, and the weights at each look."""

    def __init__(self, engine: Engine, folder: Path, weights: Weights, scores: list[float]) -> None:
        self.engine, self.folder, self.weights = engine, folder, weights
        self.scores, self.looks = scores, 0

    def __call__(self) -> float:
        self.looks += 1
        # An export merges adapters into the weights, which ends their training.
        if not any("lora_" in name for name, _ in self.engine.model.named_parameters()):
            self.engine.export(self.folder / str(self.looks), self.weights.beside())
        return self.scores[self.looks - 1]


def values(folder: Path) -> dict[str, torch.Tensor]:
    return {name: stored.read() for name, stored in read_index(folder).items()}


def run(
    engine: Engine,
    world: World,
    placement: Placement,
    dev: Dev | None,
    resume: ResumePoint,
    left: list[float | None] | None = None,
) -> Losses:
    return run_updates(
        engine,
        *one_stream(layout_worker.features(), KIND, RECIPE),
        RECIPE,
        placement,
        world,
        0,
        lambda done, total: None,
        resume,
        (lambda: left.pop(0) if left else None),
        dev,
    )


NOWHERE = ResumePoint(found=None, save=lambda fill, update: None)


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_the_best_weights_by_dev_stay_and_looking_changes_no_loss(
    stage: int, weights: Weights, world: World, tmp_path: Path
) -> None:
    placement = Placement(zero_stage=stage, micro_batch=4)
    engine = engine_of(weights, world, placement)
    without = run(engine, world, placement, None, NOWHERE)
    engine.close()
    assert without.selected == 0

    engine = engine_of(weights, world, placement)
    # Looks after 6, 12, 18 and 20 updates; of equal ones the first stays.
    dev = Dev(engine, tmp_path, weights, [0.2, 0.9, 0.4, 0.9])
    found = run(engine, world, placement, dev, NOWHERE)
    assert (dev.looks, found.selected) == (4, 12)
    assert found.per_update == without.per_update
    engine.export(tmp_path / "out", weights.beside())
    engine.close()
    best, last, out = (values(tmp_path / name) for name in ("2", "4", "out"))
    assert all(torch.equal(out[name], best[name]) for name in best)
    assert any(not torch.equal(out[name], last[name]) for name in last)


@pytest.mark.parametrize("stage", [0, 3])
def test_a_resumed_training_still_has_its_best_weights(
    stage: int, weights: Weights, world: World, tmp_path: Path
) -> None:
    placement = Placement(zero_stage=stage, micro_batch=8)
    engine = engine_of(weights, world, placement)
    dev = Dev(engine, tmp_path, weights, [0.9, 0.1, 0.1, 0.1])
    saved = tmp_path / "resume"
    saved.mkdir()
    resume = ResumePoint(found=None, save=lambda fill, update: fill(saved))
    with pytest.raises(Preempted, match="after update 10 of 20, saved"):
        run(engine, world, placement, dev, resume, left=[100.0])
    engine.close()
    engine = engine_of(weights, world, placement)
    dev = Dev(engine, tmp_path / "again", weights, [0.1, 0.1, 0.1])
    found = run(
        engine, world, placement, dev, ResumePoint(found=saved, save=lambda fill, update: None)
    )
    assert (dev.looks, found.selected) == (3, 6)
    engine.export(tmp_path / "out", weights.beside())
    engine.close()
    best, out = values(tmp_path / "1"), values(tmp_path / "out")
    assert all(torch.equal(out[name], best[name]) for name in best)


def test_adapters_are_selected_too(weights: Weights, world: World, tmp_path: Path) -> None:
    placement = Placement(zero_stage=0, micro_batch=8)
    exports = []
    for scores in ([0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.9]):
        engine = engine_of(weights, world, placement, Lora())
        dev = Dev(engine, tmp_path, weights, scores)
        found = run(engine, world, placement, dev, NOWHERE)
        engine.export(tmp_path / str(found.selected), weights.beside())
        engine.close()
        exports.append(values(tmp_path / str(found.selected)))
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(exports[0][query], exports[1][query])
