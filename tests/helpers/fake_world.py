"""The real engine as one rank of any number, in one process: bytes alive at the worst moment, and
what collectives would move.

Collectives of torch's fake process group do nothing, so values are wrong and sizes are right. What
is changed for it, and nothing else:

- the ranks agree without asking each other (`_Alone`), since no word of theirs arrives;
- DeepSpeed's check that ZeRO-3's parameters are alike on all ranks is off, for the same reason;
- buckets, and what ZeRO-3 may keep gathered, shrink with the model, as if it had its full size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from deepspeed.runtime.zero import (
    parameter_offload,
    partition_parameters,
    partitioned_param_coordinator,
)
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.random_models import shape, write_model
from scaling.catalogue.hardware import Placement
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.catalogue.task import TaskSpec
from scaling.data.batching import collate
from scaling.data.features import Features
from scaling.encoders import engine as engine_module
from scaling.encoders.engine import join_world, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.planning import memory as memory_module
from scaling.planning import moments as moments_module
from scaling.planning.memory import demand_of, memory
from scaling.study.recipes import Recipe
from tests.helpers.held import Held

TASK = TaskSpec(name="made-up", kind="classification", labels=("a", "b"), metric="accuracy")
PERSISTENT_ELEMENTS = 100_000
"""DeepSpeed's own limit: smaller parameters stay whole under ZeRO-3."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One rank of a training of one of the four sizes, scaled down."""

    size: str
    placement: dict[str, Any]
    rank: int
    few_rows: bool = False
    """Whether it trains a fifth of its word embeddings alone."""
    passes: int = 1
    """Of an update."""
    real: bool = False
    """One of real processes that reach each other by gloo, and not alone among fakes."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Bytes of one rank."""

    peak: int
    predicted: float
    """Of the planner, without libraries and context."""
    params: int
    collectives: dict[str, int]
    """Calls in an update, by name."""


class _Alone(World):
    """A rank that takes its own word for everybody's."""

    def barrier(self) -> None:
        pass

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.size

    def from_first(self, value: Any) -> Any:
        return value


class _Collectives(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            self.calls[func.name().partition("::")[2]] += 1
        return func(*args, **(kwargs or {}))


def small(size: str) -> ModelSpec:
    """Its depth and its share of embeddings, at a width of 64."""
    full = MODELS[size]
    hidden = 64
    layer = 12 * hidden * hidden
    share = full.embedding_params / full.total_params
    rows = round(share / (1 - share) * full.depth * layer / hidden)
    return shape(
        size, full.depth, hidden, vocab=rows, heads=4, xl=full.architecture == "xlm-roberta-xl"
    )


def run(asked: Asked, folder: Path) -> Found:
    placement, model = Placement(**asked.placement), small(asked.size)
    ratio = model.total_params / MODELS[asked.size].total_params
    if asked.real:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder.parent}/rendezvous",
            rank=asked.rank,
            world_size=placement.workers,
        )
    else:
        dist.init_process_group(
            "fake", store=FakeStore(), rank=asked.rank, world_size=placement.workers
        )
    os.environ |= {"RANK": str(asked.rank), "WORLD_SIZE": str(placement.workers), "LOCAL_RANK": "0"}
    world = join_world()
    if not asked.real:
        world = _Alone(world.rank, world.size, world.device)
    shared = ("GROUP_ELEMENTS", "LIVE_ELEMENTS")
    used = {engine_module: ("BUCKET_ELEMENTS", *shared)}
    used |= {memory_module: ("BUCKET_ELEMENTS",), moments_module: shared}
    for module, names in used.items():
        for name in names:
            # DeepSpeed wants even ones.
            setattr(module, name, 2 * max(1, round(getattr(module, name) * ratio / 2)))
    for module in (parameter_offload, partition_parameters, partitioned_param_coordinator):
        if not asked.real and hasattr(module, "assert_ints_same_as_other_ranks"):
            module.assert_ints_same_as_other_ranks = lambda *_: None
    plain = engine_module.ds_config

    def scaled(recipe: Recipe, placement: Placement) -> dict[str, Any]:
        config = plain(recipe, placement)
        if placement.zero_stage == 3:
            config["zero_optimization"]["stage3_param_persistence_threshold"] = round(
                PERSISTENT_ELEMENTS * ratio
            )
        return config

    engine_module.ds_config = scaled
    batch_size = placement.workers * asked.passes
    recipe = Recipe(batch=batch_size, max_length=8, precision="bf16", dropout=0.0)
    weights = write_model(model, folder / "model")
    features = Features(input_ids=[np.arange(8) + 4] * 2, targets=[0, 1], units=np.arange(2), cut=0)
    kind = KINDS["classification"]
    batch = collate(features, kind, [0])
    rows = np.arange(model.vocab_rows // 5) if asked.few_rows else None
    calls = _Collectives()
    with (
        Held() as held,
        closing(
            start_training(
                weights,
                lambda hidden: kind.head(hidden, TASK, recipe),
                recipe,
                placement,
                world,
                0,
                rows=rows,
            )
        ) as engine,
    ):
        held.forget_peak()
        for number in range(2 * asked.passes):
            with calls if number >= asked.passes else nullcontext():
                engine.last_pass((number + 1) % asked.passes == 0)
                hidden = engine.hidden(batch)
                loss = kind.loss(engine.model.head, hidden, batch.mask, batch.targets, batch.units)
                del hidden
                engine.backward(loss)
                engine.step(1e-4)
        params = sum(int(getattr(p, "ds_numel", p.numel())) for p in engine.model.parameters())
    demand = demand_of(recipe, word_rows=0 if rows is None else len(rows))
    need = memory(model, demand, placement)
    return Found(
        peak=held.peak,
        # What waits in host memory counts here as well.
        predicted=need.total - need.fixed + need.host,
        params=params,
        collectives=dict(calls.calls),
    )


def as_ranks(asked: Sequence[Asked]) -> list[Found]:
    """In one process that imports once, each in a fork: a process group cannot be made twice."""
    with tempfile.TemporaryDirectory() as folder:
        return _answer(_start(asked, Path(folder)))


def as_real_ranks(size: str, placement: dict[str, Any]) -> list[Found]:
    """Every rank of a small world, by real processes and gloo."""
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            _start(
                [Asked(size=size, placement=placement, rank=rank, real=True)],
                Path(folder) / str(rank),
            )
            for rank in range(placement["workers"])
        ]
        try:
            return [found for one in ranks for found in _answer(one)]
        finally:
            for process, _ in ranks:
                process.kill()
                process.wait()


Started = tuple["subprocess.Popen[str]", Path]


def _start(asked: Sequence[Asked], folder: Path) -> Started:
    folder.mkdir(exist_ok=True)
    (folder / "asked.json").write_text(json.dumps([asdict(one) for one in asked]))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.fake_world", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DS_LOG_LEVEL": "error"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, folder


def _answer(started: Started) -> list[Found]:
    process, folder = started
    try:
        said, _ = process.communicate(timeout=3000)
    finally:
        process.kill()
    if process.returncode:
        raise RuntimeError(said[-4000:])
    return [
        Found(**json.loads(path.read_text()))
        for path in sorted(folder.glob("found-*.json"), key=lambda path: int(path.stem[6:]))
    ]


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    for number, one in enumerate(json.loads((folder / "asked.json").read_text())):
        own = os.fork()
        if not own:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                # Real ranks meet in the folder that is above all of theirs.
                found = run(Asked(**one), folder if one["real"] else Path(place))
            (folder / f"found-{number}.json").write_text(json.dumps(asdict(found)))
            os._exit(0)
        if os.waitpid(own, 0)[1]:
            raise SystemExit(f"{one} failed")


if __name__ == "__main__":
    main()
