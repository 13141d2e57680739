"""What the parts of `make bench-gpu` share: the device, models of any size, updates of one engine.

`Bench.small` shrinks every model, so that the same lines run on a CPU in seconds; figures then mean
nothing.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers import Case, ceiling, made, timed
from benchmarks.random_models import shape, write_model
from scaling.catalogue.hardware import GIB, GPUS, GpuSpec, Placement
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.data.order import training_order
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import Engine
from scaling.encoders.world import World
from scaling.planning.devices import is_kind
from scaling.planning.fitting import fitting
from scaling.planning.memory import demand_of
from scaling.training.measure import host_peak

Row = dict[str, Any]

# As a study trains: about 1,350 real tokens in 32 texts; and 32 texts of 128 tokens.
STUDY = Case(
    name="study", kind="classification", median=34, longest=128, batch=32, precision="bf16"
)
FULL = Case(
    name="full", kind="classification", median=10_000, longest=128, batch=32, precision="bf16"
)
EXAMPLES = 32 * 60


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a part runs."""

    world: World
    folder: Path
    small: bool

    @property
    def cuda(self) -> bool:
        return self.world.device.type == "cuda"

    @property
    def gpu(self) -> GpuSpec:
        """The row of the catalogue, or what the driver says of a device that has none."""
        if not self.cuda:
            return GPUS["a10g-24"]
        name, gib = self.device
        known = next((gpu for gpu in GPUS.values() if is_kind(name, gib, gpu)), None)
        if known is not None:
            return known
        peak = ceiling(self.world) / 1e12
        return GpuSpec(name=name, memory_gib=gib, bf16_tflops=peak, dollars_per_hour=0.0)

    @property
    def device(self) -> tuple[str, float]:
        """Name and GiB, as the driver says."""
        if not self.cuda:
            return "cpu", 0.0
        found = torch.cuda.get_device_properties(self.world.device)
        return found.name, found.total_memory / GIB

    def model(self, size: str) -> ModelSpec:
        full = MODELS[size]
        if not self.small:
            return full
        layers = 2 if size == "xlm-r-base" else 3
        return shape(size, layers, 64, vocab=500, heads=4, xl=full.architecture != "xlm-roberta")

    def weights(self, size: str) -> tuple[ModelSpec, Weights]:
        """A size with random weights in bf16; written once."""
        model, folder = self.model(size), self.folder / size
        if folder.exists():
            return model, Weights(folder=folder, architecture=model.architecture, kept_rows=None)
        return model, write_model(model, folder, torch.bfloat16)

    def often(self, updates: int) -> int:
        return 2 if self.small else updates


def row(figure: str, target: str, value: str, met: bool) -> Row:
    return {"figure": figure, "target": target, "value": value, "met": met}


def reported(figure: str, value: str) -> Row:
    return row(figure, "reported", value, True)


def placed(bench: Bench, model: ModelSpec, case: Case = STUDY) -> Placement:
    """As the planner places it on this one device."""
    return fitting(model, demand_of(case.recipe, {case.kind}), bench.gpu, most_workers=1)[1]


class Runs:
    """Updates of one engine on any features, each drawn once."""

    def __init__(self, engine: Engine, case: Case, placement: Placement, vocab: int) -> None:
        self.engine, self.case, self.placement = engine, case, placement
        self.features = made(case, EXAMPLES, vocab)
        self.order = itertools.cycle(training_order(self.features.num_units, case.recipe, 0))

    def __call__(self, updates: int) -> tuple[int, float]:
        """(real tokens, seconds)."""
        part = list(itertools.islice(self.order, updates))
        return timed(self.engine, self.case, self.features, self.placement, part)

    def each(self, updates: int, rounds: int = 3) -> tuple[float, float]:
        """(tokens, seconds) of an update: the median of some rounds, after one that warms up."""
        self(min(updates, 5))
        found = [self(updates) for _ in range(rounds)]
        tokens, seconds = zip(*found, strict=True)
        return sum(tokens) / rounds / updates, statistics.median(seconds) / updates


def peak_bytes(bench: Bench) -> int:
    return int(torch.cuda.max_memory_reserved()) if bench.cuda else host_peak()
