"""The rate of every update, the best of the weights by English dev data, and what an update asks of
a device.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("deepspeed")

import torch

from benchmarks.peers import Case, Precision, made, ours
from benchmarks.random_models import shape, write_model
from scaling.catalogue.hardware import Placement
from scaling.encoders.checkpoint import read_index
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import Engine, join_world, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.study.lora import Lora
from scaling.study.recipes import Recipe
from scaling.training.loop import (
    Losses,
    NonFiniteLoss,
    Preempted,
    learning_rate,
    run_updates,
)
from scaling.training.resume import NO_RESUME_POINT, ResumePoint
from tests.helpers import layout_worker
from tests.helpers.budget import count_updates
from tests.helpers.one_run import one_run
from tests.helpers.tiny import make_model

UPDATES = 20
RECIPE = layout_worker.RECIPE.model_copy(update={"select_every": 6})
KIND = KINDS["classification"]
ALL_KINDS = ("classification", "multiple_choice", "tagging", "span_qa", "retrieval", "masked_lm")
TINY = shape("tiny", 2, 64, vocab=300, heads=4)


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
    placement: Placement,
    dev: Dev | None,
    resume: ResumePoint = NO_RESUME_POINT,
    left: list[float | None] | None = None,
) -> Losses:
    return run_updates(
        one_run(engine, placement, layout_worker.features(), KIND, RECIPE),
        resume=resume,
        notice=lambda: left.pop(0) if left else None,
        dev_score=dev,
    )


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_the_best_weights_by_dev_stay_and_looking_changes_no_loss(
    stage: int, weights: Weights, world: World, tmp_path: Path
) -> None:
    placement = Placement(zero_stage=stage, micro_batch=4)
    engine = engine_of(weights, world, placement)
    without = run(engine, placement, None)
    engine.close()
    assert without.selected == 0

    engine = engine_of(weights, world, placement)
    # Looks after 6, 12, 18 and 20 updates; of equal ones the first stays.
    dev = Dev(engine, tmp_path, weights, [0.2, 0.9, 0.4, 0.9])
    found = run(engine, placement, dev)
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
        run(engine, placement, dev, resume, left=[100.0])
    engine.close()
    engine = engine_of(weights, world, placement)
    dev = Dev(engine, tmp_path / "again", weights, [0.1, 0.1, 0.1])
    found = run(engine, placement, dev, ResumePoint(found=saved, save=lambda fill, update: None))
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
        found = run(engine, placement, dev)
        engine.export(tmp_path / str(found.selected), weights.beside())
        engine.close()
        exports.append(values(tmp_path / str(found.selected)))
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(exports[0][query], exports[1][query])


@pytest.mark.parametrize(
    ("kind", "stage"), [*((kind, 1) for kind in ALL_KINDS), ("tagging", 2), ("tagging", 3)]
)
def test_an_update_waits_for_the_device_at_its_end_alone(
    world: World, kind: str, stage: int
) -> None:
    count = count_updates(TINY, kind, Placement(zero_stage=stage, micro_batch=8), world)
    assert count.passes > count.updates
    waits = count.budget.waits
    assert not [where for where in waits if where.startswith(("forward", "backward"))], waits
    assert sum(waits.values()) <= (3 if stage == 3 else 1) * count.updates, waits


@pytest.mark.parametrize(("layers", "stage"), [(12, 1), (12, 3), (36, 2)])
def test_an_update_launches_two_kernels_a_tensor(world: World, layers: int, stage: int) -> None:
    model = shape("narrow", layers, 64, vocab=300, heads=4, xl=layers > 24)
    count = count_updates(model, "tagging", Placement(zero_stage=stage, micro_batch=16), world)
    assert count.tensors > 16 * layers
    steps = count.budget.launches["step"] / count.updates
    assert count.tensors < steps <= 2 * count.tensors + 150


@pytest.mark.parametrize(("stage", "precision"), [(1, "fp32"), (1, "bf16"), (3, "bf16")])
def test_a_gradient_that_is_no_number_is_named_also_in_the_last_update(
    world: World, tmp_path: Path, stage: int, precision: Precision
) -> None:
    case = Case(name="short", kind="tagging", median=8, longest=16, batch=4, precision=precision)
    weights = write_model(TINY, tmp_path / "model")
    train, engine = ours(
        case,
        weights,
        made(case, 16, TINY.vocab_rows),
        world,
        Placement(zero_stage=stage, micro_batch=4),
    )
    with closing(engine):
        train(2)
        spoilt = dict(engine.model.named_parameters())["encoder.encoder.layer.1.output.dense.bias"]
        spoilt.register_hook(lambda gradient: torch.full_like(gradient, torch.inf))
        with pytest.raises(NonFiniteLoss, match="norm of the gradient is inf at update 1 of 1"):
            train(1)


def test_a_long_training_saves_itself_by_the_clock(
    weights: Weights, world: World, tmp_path: Path
) -> None:
    placement = Placement(zero_stage=0, micro_batch=8)
    engine, minutes = engine_of(weights, world, placement), iter(range(0, 600, 10))
    saved: list[int] = []
    resume = ResumePoint(
        found=None,
        save=lambda fill, update: saved.append(update),
        save_seconds=lambda: 20.0,
        clock=lambda: 60.0 * next(minutes),
    )
    with closing(engine):
        found = run_updates(
            one_run(
                engine,
                placement,
                layout_worker.features(),
                KIND,
                RECIPE.model_copy(update={"epochs": 8.0, "select_every": 0}),
            ),
            resume=resume,
        )
    # The clock says ten minutes more at every look, after 10, 20 and 30 updates, and when it saved.
    assert found.updates == 40 and saved == [20]
    trace = found.trace
    assert len(trace.tokens) == len(trace.seconds) == len(found.per_update) == 40
    assert sum(trace.tokens) == found.tokens
