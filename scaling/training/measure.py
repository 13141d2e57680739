"""A few real updates, timed in processes of their own: seconds, tokens and peak memory.

`scaling calibrate` and `make bench-memory` use it. Token ids are drawn, sequence lengths are given,
so that what is timed and held is what a study times and holds. One process is `python -m
scaling.training.measure REQUEST RANK`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from scaling.catalogue.hardware import GpuSpec, Placement
from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import Key, TaskSpec
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.data.tokens import features
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import build_model, ds_config, join_world, load, start_training
from scaling.encoders.weights import model_files
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.planning.calibration import Calibration, add_calibration
from scaling.planning.memory import demand_of, memory
from scaling.planning.placement import model_placements
from scaling.planning.speed import passes_of, price_of
from scaling.spec import UserError
from scaling.store.cache import Cache, fetch, open_cache, own_folder
from scaling.store.store import Store
from scaling.study.recipes import Recipe
from scaling.study.steps import Plan
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, run_updates


def calibrate(
    plan: Plan, store: Store, gpu: GpuSpec | None, updates: int
) -> Iterator[tuple[str, Calibration | str]]:
    """(model, what was measured or why nothing was) for every size of a plan.

    Trains on the lengths of the study's task with the most tokens. Each measurement is kept in the
    store at once. UserError if the study was not staged.

    Args:
        plan: A staged study's plan.
        store: Its store.
        gpu: The GPU that the plan is for; None for CPUs.
        updates: Updates to time.
    """
    if plan.provisional:
        raise UserError(f"{plan.study.name} is not staged in {store.uri}: `scaling stage` first")
    devices = (
        torch.cuda.device_count() if torch.cuda.is_available() else len(os.sched_getaffinity(0))
    )
    if gpu is not None and not torch.cuda.is_available():
        raise UserError(f"this machine has no GPU, and the plan is for {gpu.name}")
    task = _longest_task(plan, store)
    recipe, kind = plan.study.recipe(task), plan.study.task(task).kind
    for name in plan.study.models:
        try:
            # What is measured trains the whole vocabulary, so it is placed for that.
            chosen = model_placements(plan, name, gpu)
        except UserError as error:
            yield name, str(error)
            continue
        placement = chosen[_training(plan, name, task)]
        if placement.workers > devices:
            yield name, f"needs {placement.workers} devices, this machine has {devices}"
            continue
        with open_cache() as cache:
            request = _request(plan, store, name, task, placement, cache, updates)
            found = measure(request)
            short = measure(replace(request, lengths=[SHORT]))
        model, workers = plan.study.model(name), placement.workers
        price = price_of(model, placement, gpu, training=True, fresh=True)
        per_update, rate = fitted(
            [_update_cost(model, one, request) for one in (short, found)],
            workers,
            [
                price.update + _passes(placement, recipe, one, request) * price.pass_ or 1.0
                for one in (short, found)
            ],
        )
        seconds, tokens = max(one.seconds for one in found), found[0].tokens
        need = memory(model, demand_of(recipe, {kind}), placement, gpu=gpu is not None)
        calibration = Calibration(
            model=name,
            device=found[0].device,
            device_gib=found[0].device_gib,
            placement=placement,
            update_seconds=per_update,
            flops_per_second=rate,
            tokens_per_second=tokens / seconds,
            peak_bytes=max(one.peak_bytes for one in found),
            measured_at=_now(),
            # A GPU's peak is the allocator's, which has no part in the context.
            predicted_bytes=int(need.total - (need.fixed if gpu is not None else 0.0)),
        )
        add_calibration(store, calibration)
        yield name, calibration


# Tokens of the texts with which the price of an update itself is measured: as few as a study's
# shortest have. With fewer, what is cheap only in very small products would be read as the price.
SHORT = 16


def _update_cost(
    model: ModelSpec, found: Sequence[Measurement], request: Request
) -> tuple[float, float]:
    """(model FLOPs, seconds) of an update."""
    tokens, batch = found[0].tokens / request.updates, int(request.recipe["batch"])
    flops = model.train_flops_per_token(round(tokens / batch)) * tokens
    return flops, max(one.seconds for one in found) / request.updates


def _passes(
    placement: Placement, recipe: Recipe, found: Sequence[Measurement], request: Request
) -> int:
    """Of a worker in one of the updates that were measured."""
    return passes_of(
        placement,
        recipe.batch,
        recipe.max_length,
        tokens=found[0].tokens / request.updates,
        sequences=recipe.batch,
    )


def fitted(
    costs: Sequence[tuple[float, float]], workers: int, own: Sequence[float] = (1.0, 1.0)
) -> tuple[float, float]:
    """(seconds of the first update whatever its tokens, FLOP/s a worker) through two updates.

    The first is 0 where the short update did not take less.

    Args:
        costs: (FLOPs, seconds) of a short and of a long update.
        workers: Devices of the gang.
        own: What each is assumed to cost whatever its tokens: long updates have more passes. Only
            their ratio counts.
    """
    (few, quick), (many, slow) = costs
    share = many * own[0] - few * own[1]
    each = (slow * own[0] - quick * own[1]) / share if share > 0 else 0.0
    if each <= 0 or quick < few * each:
        return 0.0, many / slow / workers
    return quick - few * each, 1 / each / workers


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="minutes")


def _longest_task(plan: Plan, store: Store) -> str:
    """The task whose training has the most tokens: the one that a study mostly pays for."""
    sizes = store.read_sizes()
    trained = {step.task for step in plan.steps.values() if step.action == "train"}
    return max(sorted(trained), key=lambda task: sizes.get(task, {}).get(str(_KEY), (0, 0, 0))[1])


def _training(plan: Plan, name: str, task: str) -> str:
    """The first training of a model on a task."""
    return next(
        step.id
        for step in plan.steps.values()
        if (step.action, step.model, step.task) == ("train", name, task)
    )


def _request(
    plan: Plan, store: Store, name: str, task: str, placement: Placement, cache: Cache, updates: int
) -> Request:
    study = plan.study
    folder = fetch(store, f"models/{name}", model_files(store, name), cache)
    recipe = study.recipe(task)
    data_hash = plan.lock.data[task][str(_KEY)]
    _, table = features(
        store,
        study.task(task),
        _KEY,
        data_hash,
        recipe,
        folder / "tokenizer.json",
        architecture=study.model(name).entry,
    )
    return Request(
        weights=str(folder.absolute()),
        architecture=study.model(name).architecture,
        recipe=recipe.model_dump(),
        placement=placement.model_dump(),
        warm=2,
        updates=updates,
        lengths=[len(ids) for ids in table["input_ids"].to_pylist()],
    )


# The split whose lengths are measured.
_KEY = Key("train", "en")
_TASK = TaskSpec(name="made-up", kind="classification", labels=("a", "b", "c"), metric="accuracy")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One measurement."""

    weights: str
    """A staged folder of this machine."""
    architecture: str
    recipe: dict[str, Any]
    placement: dict[str, Any]
    lengths: list[int]
    """Tokens of each sequence that is drawn from."""
    warm: int
    """Updates before the clock starts."""
    updates: int
    only_load: bool = False


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Of one process."""

    device: str
    device_gib: float
    start_bytes: int
    """Before any weights: libraries and process group. Of the device, where there is one."""
    load_bytes: int
    """Peak of this process's host memory while weights were loaded."""
    peak_bytes: int
    """Of the whole training: host memory on CPU, the allocator's reserved memory on a GPU."""
    load_seconds: float
    seconds: float
    """Of the timed updates."""
    tokens: int
    """Real tokens in them, over all processes."""


def measure(request: Request, timeout_seconds: float = 900) -> list[Measurement]:
    """Run a gang of processes; one Measurement each.

    RuntimeError with the end of the log of the first that fails: the others wait for it.
    """
    workers = request.placement["workers"]
    with own_folder() as folder:
        text = json.dumps({**asdict(request), "folder": str(folder)})
        logs = [folder / f"{rank}.log" for rank in range(workers)]
        processes = []
        for rank, log in enumerate(logs):
            with log.open("w") as stream:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "scaling.training.measure", text, str(rank)],
                        env={**os.environ, "LOCAL_RANK": str(rank), "DS_LOG_LEVEL": "error"},
                        stdout=stream,
                        stderr=subprocess.STDOUT,
                    )
                )
        ends_at = time.monotonic() + timeout_seconds
        failed: list[int] = []
        try:
            while not failed and any(process.poll() is None for process in processes):
                if time.monotonic() > ends_at:
                    raise RuntimeError(
                        f"measuring {request.weights}: no end after {timeout_seconds:.0f} s"
                    )
                time.sleep(0.1)
                failed = [rank for rank, process in enumerate(processes) if process.poll()]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if failed:
            raise RuntimeError(
                f"measuring {request.weights}, rank {failed[0]}: "
                + logs[failed[0]].read_text()[-2000:]
            )
        found = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(workers)]
    return [Measurement(**one) for one in found]


def host_peak(*, reset: bool = False) -> int:
    """Peak resident bytes of this process since the last reset (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return peak


def _peak(world: World) -> int:
    """Peak bytes: of the allocator's reserved memory on a GPU, else of this process."""
    return (
        int(torch.cuda.max_memory_reserved(world.device))
        if world.device.type == "cuda"
        else host_peak()
    )


def _process(request: Request, folder: Path, rank: int) -> Measurement:
    """One rank of a measurement."""
    placement, recipe = Placement(**request.placement), Recipe(**{**request.recipe, "epochs": 1.0})
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // placement.workers))
    dist.init_process_group(
        "nccl" if torch.cuda.is_available() else "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=placement.workers,
    )
    world = join_world()
    weights = Weights(
        folder=Path(request.weights), architecture=request.architecture, kept_rows=None
    )
    kind = KINDS["classification"]

    def head(hidden: int) -> nn.Module:
        return kind.head(hidden, _TASK, recipe)

    start, before = host_peak(reset=True), time.perf_counter()
    if request.only_load:
        model = build_model(weights, head, recipe.dropout, 0, ds_config(recipe, placement))
        load(model, weights, world, recipe, head=False)
        loaded, load_seconds, seconds, tokens = host_peak(), time.perf_counter() - before, 0.0, 0
        peak = loaded
    else:
        engine = start_training(weights, head, recipe, placement, world, seed=0)
        loaded, load_seconds = host_peak(), time.perf_counter() - before
        for count in (request.warm, request.updates):
            world.barrier()
            before = time.perf_counter()
            features = _features(request.lengths, count * recipe.batch, count)
            order = training_order(features.num_units, recipe, 0)
            stream = Stream(features=features, kind=kind, recipe=recipe, order=order)
            run = TrainingRun(
                engine=engine,
                streams=[stream],
                turns=[0] * len(order),
                recipe=recipe,
                placement=placement,
                seed=0,
            )
            losses = run_updates(run)
            seconds, tokens = time.perf_counter() - before, losses.tokens
        peak = _peak(world)
    gpu = world.device.type == "cuda"
    found = Measurement(
        device=torch.cuda.get_device_name(world.device) if gpu else "cpu",
        device_gib=torch.cuda.get_device_properties(world.device).total_memory / 2**30
        if gpu
        else 0.0,
        start_bytes=0 if gpu else start,
        load_bytes=loaded,
        peak_bytes=peak,
        load_seconds=load_seconds,
        seconds=seconds,
        tokens=tokens,
    )
    world.barrier()
    return found


def _features(lengths: list[int], number: int, seed: int) -> Features:
    """Sequences of random ids with lengths drawn from those given."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(np.asarray(lengths), number)
    return Features(
        input_ids=[rng.integers(5, 100, length) for length in drawn],
        targets=[0] * number,
        units=np.arange(number),
        cut=0,
    )


def main() -> None:
    """One measuring process: its request and rank are the arguments of the command line."""
    raw, rank = json.loads(sys.argv[1]), int(sys.argv[2])
    folder = Path(raw.pop("folder"))
    (folder / f"{rank}.json").write_text(json.dumps(asdict(_process(Request(**raw), folder, rank))))


if __name__ == "__main__":
    main()
