"""Steps on this process group: skip what is done → claim → train or score → commit. The same with and without Ray."""

from __future__ import annotations

import gc
import io
import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from scaling.data.batching import Features, as_features
from scaling.data.tokens import features
from scaling.encoder import Weights, row_lookup
from scaling.engine import World, start_scoring, start_training, versions
from scaling.evaluation import predict, score_languages
from scaling.hardware import Placement
from scaling.kinds import KINDS
from scaling.lease import Lease, LeaseLost, claim, new_owner
from scaling.plan import Plan, Step
from scaling.pretrained.staging import model_files
from scaling.records import Cost, EvalRow, Provenance, StepRecord, Training
from scaling.resume import resume_point
from scaling.store import Store
from scaling.tasks import TaskSpec
from scaling.training import run_updates

Outcome = Literal["done", "skipped", "taken", "blocked"]


@dataclass
class _Clock:
    """Seconds by part of a step."""

    started: float = field(default_factory=time.monotonic)
    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + time.monotonic() - start


@dataclass(frozen=True, kw_only=True)
class _Context:
    plan: Plan
    store: Store
    world: World
    placement: Placement
    cache: Path
    owner: str


def run_steps(
    plan: Plan, store: Store, steps: Sequence[str], world: World, placements: Mapping[str, Placement]
) -> dict[str, Outcome]:
    """Run steps in order; what became of each.

    `skipped`: its record existed. `taken`: somebody else works on it. `blocked`: its parent is not there. An
    exception of a step is noted in the store and then ends this process group's work, so that all ranks agree.
    """
    outcomes: dict[str, Outcome] = {}
    owner = world.from_first(new_owner())
    with tempfile.TemporaryDirectory() as cache:
        for name in steps:
            step = plan.steps[name]
            context = _Context(
                plan=plan, store=store, world=world, placement=placements[step.model], cache=Path(cache), owner=owner
            )
            outcomes[name] = _run_step(step, context)
    return outcomes


def _run_step(step: Step, context: _Context) -> Outcome:
    lease: Lease | None = None
    decision: Outcome | None = None
    if context.world.rank == 0:
        decision = _already(step, context)
        if decision is None:
            lease = claim(context.store, step.id, context.owner)
            # Somebody may have finished between the first look and the claim.
            decision = "taken" if lease is None else _already(step, context)
    decision = context.world.from_first(decision)
    if decision is not None:
        if lease is not None:
            lease.release()
        return decision
    try:
        record = _train(step, context, lease) if step.action == "train" else _score(step, context, lease)
        if lease is not None:
            lease.still_ours()
            if step.action == "train":
                context.store.replace(record)
            else:
                context.store.commit(record)
                _drop_weights(step, context)
        context.world.barrier()
    except LeaseLost:
        raise
    except Exception as error:
        # Whichever rank failed says so; the others only see a collective that never ends, until Ray stops them.
        note = {"error": f"{type(error).__name__}: {error}", "at": _now(), "rank": context.world.rank}
        context.store.fail(step, f"{context.owner}-{context.world.rank}", note)
        raise
    finally:
        if lease is not None:
            lease.release()
    return "done"


def _already(step: Step, context: _Context) -> Outcome | None:
    store = context.store
    if store.exists(f"steps/{step.id}/record.json"):
        record = store.record(step.id)
        if step.action == "eval" or _weights_there(record, store):
            return "skipped"
    if step.parent is not None:
        if not store.exists(f"steps/{step.parent}/record.json"):
            return "blocked"
        if not _weights_there(store.record(step.parent), store):
            return "blocked"
    return None


def _weights_there(record: StepRecord, store: Store) -> bool:
    return store.exists(f"steps/{record.step}/attempts/{record.provenance.attempt}/weights/manifest.json")


def _weights(step: Step, context: _Context) -> Weights:
    """Where the step starts from: its parent's weights or the pretrained model, verified by hash."""
    store = context.store
    if step.parent is None:
        folder, files = f"models/{step.model}", model_files(store, step.model)
    else:
        record = store.record(step.parent)
        folder = f"steps/{step.parent}/attempts/{record.provenance.attempt}/weights"
        prefix = "weights/"
        files = {name.removeprefix(prefix): digest for name, digest in record.files.items() if name.startswith(prefix)}
    local = store.fetch(folder, files, context.cache)
    kept = local / "kept_rows.npy"
    return Weights(
        folder=local,
        architecture=context.plan.study.model(step.model).architecture,
        kept_rows=kept if kept.is_file() else None,
    )


def _tables(step: Step, context: _Context, keys: Sequence[str]) -> dict[str, tuple[pa.Table, pa.Table]]:
    """(rows, token features) by `SPLIT.LANGUAGE`."""
    task = context.plan.study.task(step.task)
    files = {"tokenizer.json": model_files(context.store, step.model)["tokenizer.json"]}
    tokenizer = context.store.fetch(f"models/{step.model}", files, context.cache) / "tokenizer.json"
    hashes = context.plan.lock.data[step.task]
    return {key: features(context.store, task, key, hashes[key], step.recipe, tokenizer) for key in keys}


def _train(step: Step, context: _Context, lease: Lease | None) -> StepRecord:
    world, recipe, clock = context.world, step.recipe, _Clock()
    task = context.plan.study.task(step.task)
    kind = KINDS[task.kind]
    seed = step.seed or 0
    with clock.part("load"):
        weights = _weights(step, context)
        lookup = row_lookup(weights)
        tables = _tables(step, context, ["train.en", "dev.en"])
        train = as_features(tables["train.en"][1], lookup)
        dev = as_features(tables["dev.en"][1], lookup)
        engine = start_training(
            weights, lambda hidden: kind.head(hidden, task, recipe), recipe, context.placement, world, seed
        )
        resume = resume_point(step.id, context.store, world, context.placement, context.cache)
    with clock.part("work"):
        losses = run_updates(engine, train, kind, recipe, context.placement, world, seed, _progress(lease), resume)
        predictions = predict(engine.core, dev, kind, recipe, world)
        rows, _ = score_languages({"dev.en": tables["dev.en"]}, predictions, kind, task)
    with clock.part("save"):
        folder = _attempt_folder(step, context)
        engine.export(folder / "weights", weights.folder / "config.json", weights.kept_rows)
        engine.close()
        gc.collect()
        files: dict[str, str] = {}
        if world.rank == 0:
            name = f"steps/{step.id}/attempts/{context.owner}"
            files = context.store.upload(folder, name)
            context.store.write(f"{name}/weights/manifest.json", json.dumps(files, indent=1))
            context.store.delete(f"steps/{step.id}/resume")
    main = rows[0]
    training = Training(
        updates=losses.updates, examples=losses.examples, tokens=losses.tokens, first_loss=losses.first,
        last_loss=losses.last, dev_metric=main.metric, dev_score=main.value, dev_n=main.n, dev_chance=main.chance,
        collapsed=is_collapsed(main), truncated_examples=train.cut,
    )  # fmt: skip
    return _record(step, context, clock, training=training, rows=[], files=files)


def is_collapsed(dev: EvalRow) -> bool:
    """Whether an English dev score is no better than guessing, by two standard errors. Looks at English only."""
    return dev.value <= dev.chance + 2 * math.sqrt(dev.chance * (1 - dev.chance) / dev.n)


def _score(step: Step, context: _Context, lease: Lease | None) -> StepRecord:
    world, recipe, clock = context.world, step.recipe, _Clock()
    task = context.plan.study.task(step.task)
    kind = KINDS[task.kind]
    with clock.part("load"):
        weights = _weights(step, context)
        lookup = row_lookup(weights)
        tables = _tables(step, context, _scored_keys(step, context.plan, task))
        parts = [as_features(table, lookup) for _, table in tables.values()]
        model = start_scoring(weights, lambda hidden: kind.head(hidden, task, recipe), recipe, context.placement, world)
    with clock.part("work"):
        predictions = predict(model, _joined(parts), kind, recipe, world, _progress(lease))
        rows, outcomes = score_languages(tables, predictions, kind, task)
    with clock.part("save"):
        files = {}
        if world.rank == 0:
            buffer = io.BytesIO()
            pq.write_table(outcomes, buffer, compression="zstd")
            folder = _attempt_folder(step, context)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "outcomes.parquet").write_bytes(buffer.getvalue())
            files = context.store.upload(folder, f"steps/{step.id}/attempts/{context.owner}")
    return _record(step, context, clock, training=None, rows=rows, files=files)


def _scored_keys(step: Step, plan: Plan, task: TaskSpec) -> list[str]:
    """Test splits of the study's languages."""
    return [f"test.{code}" for code in plan.study.test_languages(task.name)]


def _joined(parts: Sequence[Features]) -> Features:
    return Features(
        input_ids=[ids for part in parts for ids in part.input_ids],
        targets=[target for part in parts for target in part.targets],
        units=np.arange(sum(len(part.input_ids) for part in parts)),
        cut=sum(part.cut for part in parts),
    )


def _progress(lease: Lease | None) -> Any:
    def note(done: int, total: int) -> None:
        if lease is not None:
            lease.check()
            lease.progress = {"done": done, "total": total}

    return note


def _attempt_folder(step: Step, context: _Context) -> Path:
    """Where this attempt's files are made: in the store itself if it is local."""
    if context.store.local is not None:
        return context.store.local / "steps" / step.id / "attempts" / context.owner
    return context.cache / step.id


def _drop_weights(step: Step, context: _Context) -> None:
    """Delete trained weights that no pending step needs, as the study says."""
    keep = context.plan.study.keep_weights
    parent = step.parent
    while parent is not None:
        above = context.plan.steps[parent]
        if keep == "all" or (keep == "intermediate" and above.phase == "ii"):
            return
        waiting = [
            child
            for child in context.plan.children_of(parent)
            if not context.store.exists(f"steps/{child}/record.json")
        ]
        if waiting:
            return
        context.store.delete(f"steps/{parent}/attempts/{context.store.record(parent).provenance.attempt}/weights")
        parent = above.parent


def _record(
    step: Step,
    context: _Context,
    clock: _Clock,
    *,
    training: Training | None,
    rows: list[EvalRow],
    files: dict[str, str],
) -> StepRecord:
    world, placement = context.world, context.placement
    device = torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else "cpu"
    micro, accumulation = placement.accumulation(step.recipe.batch)
    return StepRecord(
        step=step.id, fingerprint=step.fingerprint, identity=dict(step.identity), training=training, rows=rows,
        files=files,
        cost=Cost(
            wall_seconds=time.monotonic() - clock.started, load_seconds=clock.parts.get("load", 0.0),
            work_seconds=clock.parts.get("work", 0.0), save_seconds=clock.parts.get("save", 0.0),
            num_devices=world.size, device=device,
        ),
        provenance=Provenance(
            attempt=context.owner, finished_at=_now(), versions=versions(), commit=_commit(),
            execution={
                "workers": world.size, "zero_stage": placement.zero_stage, "micro_batch": micro,
                "accumulation": accumulation,
            },
        ),
    )  # fmt: skip


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str:
    """Git commit of the code, or '' outside a checkout."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
