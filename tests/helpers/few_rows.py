"""Trainings on the rows in use, and on all of them, to be compared."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from scaling.catalogue.hardware import Placement
from scaling.data.features import Features
from scaling.encoders.checkpoint import read_index
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.training.loop import run_updates
from scaling.training.resume import NO_RESUME_POINT, ResumePoint
from tests.helpers import layout_worker
from tests.helpers.one_run import one_run

KIND = KINDS["classification"]
# Dropout, clipping and a weight decay that is seen.
RECIPE = layout_worker.RECIPE.model_copy(
    update={"dropout": 0.1, "weight_decay": 0.3, "grad_clip": 0.5, "select_every": 6}
)


def weights_of(folder: Path, random_init: int | None = None) -> Weights:
    return Weights(
        folder=folder, architecture="xlm-roberta", kept_rows=None, random_init=random_init
    )


def exported(
    weights: Weights,
    world: World,
    placement: Placement,
    out: Path,
    *,
    few: bool,
    dev_scores: list[float] | None = None,
    resume: ResumePoint = NO_RESUME_POINT,
) -> dict[str, torch.Tensor]:
    """The weights after 20 updates; `few`: of a training on the rows in use alone."""
    features = layout_worker.features()
    rows = np.unique(np.concatenate([np.arange(4), *features.input_ids]))
    if few:
        ids = [np.searchsorted(rows, one) for one in features.input_ids]
        features = Features(input_ids=ids, targets=features.targets, units=features.units, cut=0)
    with closing(
        start_training(
            weights,
            lambda hidden: KIND.head(hidden, layout_worker.TASK, RECIPE),
            RECIPE,
            placement,
            world,
            seed=0,
            rows=rows if few else None,
        )
    ) as engine:
        held = engine.model.encoder.embeddings.word_embeddings.weight
        count = getattr(held, "ds_shape", held.shape)[0]
        assert (count == len(rows)) == few and len(rows) < 90
        run_updates(
            one_run(engine, placement, features, KIND, RECIPE),
            resume=resume,
            dev_score=None if dev_scores is None else (lambda left=list(dev_scores): left.pop(0)),
        )
        engine.export(out, weights.beside())
    return {name: stored.read() for name, stored in read_index(out).items()}
