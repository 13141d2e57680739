"""Training on the rows in use gives the weights that training on all of them gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("deepspeed")

import torch

from scaling.catalogue.architecture_entries import XLM_ROBERTA
from scaling.catalogue.hardware import Placement
from scaling.encoders.checkpoint import read_index
from scaling.encoders.engine import join_world
from scaling.encoders.word_rows import StoredRows, other_rows
from scaling.encoders.world import World
from scaling.training.resume import ResumePoint
from tests.helpers.few_rows import exported, weights_of
from tests.helpers.tiny import make_model


@pytest.fixture(scope="module")
def world() -> World:
    return join_world()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows") / "m"
    make_model(folder, "xlm-roberta", 2)
    return folder


def check_equal(few: dict[str, torch.Tensor], whole: dict[str, torch.Tensor]) -> None:
    assert few.keys() == whole.keys()
    for name, value in whole.items():
        assert few[name].shape == value.shape
        np.testing.assert_allclose(few[name].numpy(), value.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_exports_are_equal_with_dropout_clipping_and_decay(
    folder: Path, world: World, tmp_path: Path, stage: int
) -> None:
    placement, weights = Placement(zero_stage=stage, micro_batch=2), weights_of(folder)
    both = [
        exported(weights, world, placement, tmp_path / str(few), few=few) for few in (False, True)
    ]
    check_equal(both[1], both[0])
    # The test would hold for a training without decay otherwise.
    before = read_index(folder)[XLM_ROBERTA.words].read()
    moved = (both[0][XLM_ROBERTA.words] - before)[-1].abs().max()
    assert moved > 1e-4 and not both[0][XLM_ROBERTA.words][-1].equal(before[-1])


def test_selected_and_random_weights_are_equal_too(
    folder: Path, world: World, tmp_path: Path
) -> None:
    placement = Placement(zero_stage=1, micro_batch=8)
    for weights, scores in (
        (weights_of(folder), [0.1, 0.9, 0.2, 0.3]),
        (weights_of(folder, 3), None),
    ):
        both = [
            exported(
                weights,
                world,
                placement,
                tmp_path / f"{few}-{scores is None}",
                few=few,
                dev_scores=scores,
            )
            for few in (False, True)
        ]
        check_equal(both[1], both[0])


def test_a_resume_point_has_what_decay_has_made(folder: Path, world: World, tmp_path: Path) -> None:
    placement = Placement(zero_stage=1, micro_batch=8, resume_every=9)
    weights, saved = weights_of(folder), tmp_path / "saved"

    def save(fill, update: int) -> None:
        if update == 9:
            fill(saved)

    scores = [0.1, 0.9, 0.2, 0.3]
    once = exported(
        weights,
        world,
        placement,
        tmp_path / "once",
        few=True,
        dev_scores=scores,
        resume=ResumePoint(found=None, save=save),
    )
    again = exported(
        weights,
        world,
        placement,
        tmp_path / "again",
        few=True,
        dev_scores=scores[1:],
        resume=ResumePoint(found=saved, save=lambda fill, update: None),
    )
    for name, value in once.items():
        assert torch.equal(value, again[name]), name


def test_rows_are_read_in_any_slices(folder: Path) -> None:
    matrix = read_index(folder)[XLM_ROBERTA.words]
    rows = np.array([0, 1, 2, 3, 17, 18, 40, matrix.shape[0] - 1])
    some, whole = StoredRows(matrix=matrix, rows=rows), matrix.read()
    assert torch.equal(some.read(), whole[torch.from_numpy(rows)])
    for start in range(0, some.numel, 37):
        part = torch.cat([torch.empty(0), *some.chunks(start, min(start + 50, some.numel))])
        assert torch.equal(part, some.read().view(-1)[start : start + 50])
    assert not list(some.chunks(some.numel, some.numel))
    every = np.sort(np.concatenate([rows, other_rows(rows, matrix.shape[0])]))
    assert every.tolist() == list(range(matrix.shape[0]))
