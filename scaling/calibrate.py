"""`scaling calibrate`: a few real updates of every size on the hardware at hand, into the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import torch

from scaling.catalogue.hardware import GpuSpec, Placement
from scaling.data.tokens import features
from scaling.encoders.weights import model_files
from scaling.planning.calibration import Calibration, add_calibration
from scaling.planning.memory import demand_of, memory
from scaling.planning.placement import model_placements
from scaling.store.cache import Cache, fetch, open_cache
from scaling.store.store import Store
from scaling.study.plan import Plan
from scaling.training.measure import Request, measure


def calibrate(
    plan: Plan, store: Store, gpu: GpuSpec | None, updates: int
) -> Iterator[tuple[str, Calibration | str]]:
    """(model, what was measured, or why nothing was) for every size; each is kept in the store at
    once.

    Trains on the lengths of the study's task with the most tokens. ValueError if the study was not
    staged.
    """
    if plan.provisional:
        raise ValueError(f"{plan.study.name} is not staged in {store.uri}: `scaling stage` first")
    devices = (
        torch.cuda.device_count() if torch.cuda.is_available() else len(os.sched_getaffinity(0))
    )
    if gpu is not None and not torch.cuda.is_available():
        raise ValueError(f"this machine has no GPU, and the plan is for {gpu.name}")
    task = _longest_task(plan, store)
    recipe, kind = plan.study.recipe(task), plan.study.task(task).kind
    for name in plan.study.models:
        try:
            chosen = model_placements(plan, name, gpu)
        except ValueError as error:
            yield name, str(error)
            continue
        placement = chosen[_training(plan, name, task)]
        if placement.workers > devices:
            yield name, f"needs {placement.workers} devices, this machine has {devices}"
            continue
        with open_cache() as cache:
            request = _request(plan, store, name, task, placement, cache, updates)
            found = measure(request)
        seconds, tokens = max(one.seconds for one in found), found[0].tokens
        length = tokens / (updates * request.recipe["batch"])
        model = plan.study.model(name)
        flops = model.train_flops_per_token(round(length)) * tokens
        calibration = Calibration(
            model=name,
            device=found[0].device,
            device_gib=found[0].device_gib,
            placement=placement,
            flops_per_second=flops / seconds / placement.workers,
            tokens_per_second=tokens / seconds,
            peak_bytes=max(one.peak_bytes for one in found),
            measured_at=_now(),
            predicted_bytes=int(
                memory(model, demand_of(recipe, {kind}), placement, gpu=gpu is not None).total
            ),
        )
        add_calibration(store, calibration)
        yield name, calibration


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="minutes")


def _longest_task(plan: Plan, store: Store) -> str:
    """The task whose training has the most tokens: the one that a study mostly pays for."""
    sizes = store.read_sizes()
    trained = {step.task for step in plan.steps.values() if step.action == "train"}
    return max(sorted(trained), key=lambda task: sizes.get(task, {}).get("train.en", (0, 0))[1])


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
    data_hash = plan.lock.data[task]["train.en"]
    _, table = features(
        store, study.task(task), "train.en", data_hash, recipe, folder / "tokenizer.json"
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
