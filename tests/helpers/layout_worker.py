"""One process of a world: train a tiny encoder on every layout and write the losses, then train on
pairs. Run by test_engine and by a benchmark.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import TaskSpec
from scaling.data.features import Features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import join_world, start_scoring, start_training
from scaling.kinds import KINDS
from scaling.study.recipes import Recipe
from scaling.training.loop import run_updates
from tests.helpers.one_run import one_run
from tests.helpers.pairs import train_pairs
from tests.helpers.ranks import run_ranks

TASK = TaskSpec(name="made-up", kind="classification", labels=("a", "b", "c"), metric="accuracy")
RECIPE = Recipe(
    batch=8,
    epochs=4,
    learning_rate=5e-3,
    dropout=0.0,
    precision="fp32",
    weight_decay=0.01,
    pooling="mean",
    # The longest there is: a micro-batch of 2 has more than one pass.
    max_length=18,
)


ARCHITECTURES = ("xlm-roberta", "xlm-roberta-xl")


def run_world(folder: Path, size: int, layouts: Sequence[Sequence[Any]]) -> None:
    """So many processes, each with one thread, on models of both architectures that lie there."""
    given = (str(folder), json.dumps(layouts), str(folder / f"rendezvous-{size}"))
    run_ranks("tests.helpers.layout_worker", folder, size, given, 480)


def features() -> Features:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, 40)
    # The first token tells the class, so that there is something to learn.
    ids = [
        np.array([0, 10 + target, *rng.integers(4, 80, rng.integers(2, 15)), 2])
        for target in targets
    ]
    return Features(input_ids=ids, targets=targets.tolist(), units=np.arange(40), cut=0)


def main() -> None:
    folder, layouts, rendezvous, rank, size = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(size)
    )
    world = join_world()
    kind = KINDS["classification"]
    found = {}
    for architecture in ARCHITECTURES if json.loads(layouts) else ():
        weights = Weights(
            folder=Path(folder) / architecture, architecture=architecture, kept_rows=None
        )
        for stage, micro, extra in json.loads(layouts):
            more = {name: True for name in extra}
            placement = Placement(workers=world.size, zero_stage=stage, micro_batch=micro, **more)
            engine = start_training(
                weights,
                lambda hidden: kind.head(hidden, TASK, RECIPE),
                RECIPE,
                placement,
                world,
                seed=0,
            )
            losses = run_updates(one_run(engine, placement, features(), kind, RECIPE))
            found["/".join([architecture, size, str(stage), str(micro), *extra])] = list(
                losses.per_update
            )
            out = Path(folder) / f"out-{architecture}-{size}-{stage}"
            if stage in (0, 3) and not out.exists():
                world.barrier()
                engine.export(out, weights.beside())
            engine.close()
            # What one layout wrote, another one reads; start_scoring checks that it holds what it
            # read.
            if size == "2" and stage in (0, 3):
                other = Weights(
                    folder=Path(folder) / f"out-{architecture}-1-{3 - stage}",
                    architecture=architecture,
                    kept_rows=None,
                )
                start_scoring(
                    other, lambda hidden: kind.head(hidden, TASK, RECIPE), RECIPE, placement, world
                ).close()
    plain = Weights(folder=Path(folder) / "xlm-roberta", architecture="xlm-roberta", kept_rows=None)
    pairs = {stage: train_pairs(plain, world, stage) for stage in (1, 3)}
    if world.rank == 0:
        (Path(folder) / f"losses-{size}.json").write_text(json.dumps(found))
        (Path(folder) / f"pairs-{size}.json").write_text(json.dumps(pairs))


if __name__ == "__main__":
    main()
