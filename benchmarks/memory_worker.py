"""One process of a measured training: loads, makes a few updates, says what its memory peaked at. See memory.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from scaling.data.batching import Features
from scaling.encoder import Weights
from scaling.engine import build_model, ds_config, join_world, load, start_training
from scaling.hardware import Placement
from scaling.kinds import KINDS
from scaling.recipes import Recipe
from scaling.resume import ResumePoint
from scaling.tasks import TaskSpec
from scaling.training import run_updates

TASK = TaskSpec(name="made-up", kind="classification", labels=("a", "b", "c"), metric="accuracy")


def memory(reset: bool = False) -> int:
    """Peak resident bytes since the last reset."""
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return peak


def main() -> None:
    request = json.loads(sys.argv[1])
    rank, size = int(sys.argv[2]), int(request["workers"])
    torch.set_num_threads(1)
    method = f"file://{request['rendezvous']}"
    dist.init_process_group("gloo", init_method=method, rank=rank, world_size=size)
    world = join_world()
    weights = Weights(folder=Path(request["folder"]), architecture=request["architecture"], kept_rows=None)
    recipe = Recipe(batch=request["batch"], precision=request["precision"], max_length=request["length"], epochs=1)
    placement = Placement(
        workers=size, zero_stage=request["stage"], micro_batch=request["micro"],
        checkpoint_activations=request["recompute"],
    )  # fmt: skip
    kind = KINDS["classification"]

    def head(hidden: int) -> torch.nn.Module:
        return kind.head(hidden, TASK, recipe)

    found = {"start": memory(reset=True)}
    if request["only_load"]:
        model = build_model(weights, head, recipe.dropout, 0, ds_config(recipe, placement))
        load(model, weights, world, head=False)
    else:
        rng = np.random.default_rng(0)
        number = request["batch"] * request["updates"]
        features = Features(
            input_ids=[rng.integers(5, 1000, request["length"]) for _ in range(number)],
            targets=[0] * number, units=np.arange(number), cut=0,
        )  # fmt: skip
        engine = start_training(weights, head, recipe, placement, world, seed=0)
        found["loaded"] = memory(reset=True)
        run_updates(
            engine, features, kind, recipe, placement, world, 0, lambda done, total: None,
            ResumePoint(found=None, save=lambda fill, update: None),
        )  # fmt: skip
    found["peak"] = max(found.values(), default=0)
    found["peak"] = max(found["peak"], memory())
    Path(request["out"].format(rank=rank)).write_text(json.dumps(found))
    world.barrier()


if __name__ == "__main__":
    main()
