"""The work of a step: weights and rows in, a training or a scoring, files and a record out. Commits
nothing.
"""

from __future__ import annotations

import gc
import io
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from scaling.catalogue.task import TaskSpec
from scaling.data.features import Features, as_features
from scaling.encoders.encoder import Weights, row_lookup
from scaling.encoders.engine import Engine, start_scoring, start_training, versions
from scaling.encoders.weights import model_files
from scaling.kinds import KINDS
from scaling.store.cache import fetch
from scaling.store.leases import Lease
from scaling.store.records import Cost, EvalRow, Provenance, StepRecord, Training
from scaling.store.store import attempt_name
from scaling.study.collapse import has_collapsed
from scaling.study.mixture import schedule
from scaling.study.steps import Plan, Step
from scaling.training.evaluation import predict, score_languages
from scaling.training.inputs import (
    Context,
    Material,
    head_of,
    materials_of,
    streams_of,
    tables_of,
    updates_of,
)
from scaling.training.loop import run_updates
from scaling.training.resume import resume_point


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


def _weights(step: Step, context: Context) -> Weights:
    """Where the step starts from: its parent's weights or the pretrained model, verified by
    hash.
    """
    store = context.store
    if step.parent is None:
        folder, files = f"models/{step.staged}", model_files(store, step.staged)
    else:
        record = store.record(step.parent)
        folder = f"{attempt_name(step.parent, record.provenance.attempt)}/weights"
        prefix = "weights/"
        files = {
            name.removeprefix(prefix): digest
            for name, digest in record.files.items()
            if name.startswith(prefix)
        }
    local = fetch(store, folder, files, context.cache)
    kept = local / "kept_rows.npy"
    return Weights(
        folder=local,
        architecture=context.plan.study.model(step.model).architecture,
        kept_rows=kept if kept.is_file() else None,
        random_init=step.random_init,
    )


def train(step: Step, context: Context, lease: Lease | None) -> StepRecord:
    world, recipe, clock = context.world, step.recipe, _Clock()
    seed = step.training_seed
    with clock.part("load"):
        weights = _weights(step, context)
        # Read now: once they are loaded nothing holds the parent's files any more.
        lookup, beside = row_lookup(weights), weights.beside()
        materials = materials_of(step, context, lookup)
        updates = updates_of(step, context, lookup, materials)
        streams, drawn = streams_of(step, materials, updates)
        turns = schedule(updates, seed, step.mixture.mlm_ratio)
        lora = context.plan.study.adapters
        engine = start_training(
            weights, partial(head_of, materials), recipe, context.placement, world, seed, lora
        )
        params = context.plan.study.model(step.model).total_params
        resume = resume_point(
            step.id, context.store, world, context.placement, context.cache, params
        )
    with clock.part("work"):
        losses = run_updates(
            engine,
            streams,
            turns,
            recipe,
            context.placement,
            world,
            seed,
            _progress(context, lease),
            resume,
            context.notice,
        )
        scored = [
            _dev_row(engine, one, number, lookup, context) for number, one in enumerate(materials)
        ]
    with clock.part("save"):
        folder = _own_folder(step, context)
        engine.export(folder / "weights", beside)
        engine.close()
        gc.collect()
        files = _publish(step, context, folder)
    main = scored[0]
    training = Training(
        updates=losses.updates,
        examples=losses.examples,
        tokens=losses.tokens,
        first_loss=losses.first,
        last_loss=losses.last,
        dev_metric=materials[0].task.metric if main is None else main.metric,
        dev_score=None if main is None else main.value,
        dev_n=0 if main is None else main.n,
        dev_chance=0.0 if main is None else main.chance,
        collapsed=any(
            row is not None and has_collapsed(row.value, row.chance, row.n)
            for row, member in zip(scored, step.mixture.members, strict=True)
            # Guessing is all that shuffled labels can teach.
            if not member.shuffled_labels
        ),
        truncated_examples=sum(stream.features.cut for stream in streams),
        drawn=drawn if len(drawn) > 1 else {},
        dev_scores={
            one.task.name: row.value
            for one, row in zip(materials, scored, strict=True)
            if row is not None and len(materials) > 1
        },
    )
    return _record(step, context, clock, training=training, rows=[], files=files)


def _dev_row(
    engine: Engine, one: Material, number: int, lookup: np.ndarray | None, context: Context
) -> EvalRow | None:
    """The main score of a member on its English dev data."""
    if not one.dev:
        return None
    dev = as_features(one.dev["dev.en"][1], lookup)
    predictions = predict(
        engine.core,
        dev,
        one.kind,
        one.recipe,
        context.world,
        lambda done, total: context.alive(),
        member=number,
    )
    rows, _ = score_languages(one.dev, predictions, one.kind, one.task)
    return rows[0]


def score(step: Step, context: Context, lease: Lease | None) -> StepRecord:
    world, recipe, clock = context.world, step.recipe, _Clock()
    task = context.plan.study.task(step.task)
    kind = KINDS[task.kind]
    with clock.part("load"):
        weights = _weights(step, context)
        lookup = row_lookup(weights)
        tables = tables_of(step, context, task, recipe, _scored_keys(step, context.plan, task))
        parts = [as_features(table, lookup) for _, table in tables.values()]
        model = start_scoring(
            weights,
            lambda hidden: kind.head(hidden, task, recipe),
            recipe,
            context.placement,
            world,
        )
    with clock.part("work"):
        predictions = predict(model, _joined(parts), kind, recipe, world, _progress(context, lease))
        rows, outcomes = score_languages(tables, predictions, kind, task)
    with clock.part("save"):
        folder = _own_folder(step, context)
        if world.rank == 0:
            buffer = io.BytesIO()
            pq.write_table(outcomes, buffer, compression="zstd")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "outcomes.parquet").write_bytes(buffer.getvalue())
        files = _publish(step, context, folder)
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


def _progress(context: Context, lease: Lease | None) -> Any:
    def note(done: int, total: int) -> None:
        context.alive()
        if lease is not None:
            lease.check()
            lease.progress = {"done": done, "total": total}

    return note


def _own_folder(step: Step, context: Context) -> Path:
    """Where this rank makes its files: a folder of its own, inside the store if that is local, to
    be moved.
    """
    attempt = context.store.local_path(attempt_name(step.id, context.owner))
    if attempt is not None:
        return attempt / f".rank-{context.world.rank}"
    return context.cache.own / "made" / step.id


def _publish(step: Step, context: Context, folder: Path) -> dict[str, str]:
    """Every rank uploads what it made; rank 0 writes the manifest once all have. File → SHA-256, on
    every rank.
    """
    name = attempt_name(step.id, context.owner)
    num_bytes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    hashes = context.store.upload(folder, name, move=True)
    manifest: dict[str, dict[str, int | str]] = {}
    for rank, (files, sizes) in enumerate(context.world.gather((hashes, num_bytes))):
        for file, digest in files.items():
            manifest[file] = {"sha256": digest, "bytes": sizes[file], "rank": rank}
    if context.world.rank == 0 and step.action == "train":
        context.store.write(f"{name}/weights/manifest.json", json.dumps(manifest, indent=1))
    return {file: str(entry["sha256"]) for file, entry in manifest.items()}


def _record(
    step: Step,
    context: Context,
    clock: _Clock,
    *,
    training: Training | None,
    rows: list[EvalRow],
    files: dict[str, str],
) -> StepRecord:
    world, placement = context.world, context.placement
    device = torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else "cpu"
    return StepRecord(
        step=step.id,
        fingerprint=step.fingerprint,
        identity=dict(step.identity),
        training=training,
        rows=rows,
        files=files,
        cost=Cost(
            wall_seconds=time.monotonic() - clock.started,
            load_seconds=clock.parts.get("load", 0.0),
            work_seconds=clock.parts.get("work", 0.0),
            save_seconds=clock.parts.get("save", 0.0),
            num_devices=world.size,
            device=device,
        ),
        provenance=Provenance(
            attempt=context.owner,
            finished_at=now(),
            versions=versions(),
            commit=_commit(),
            execution={
                "workers": world.size,
                "zero_stage": placement.zero_stage,
                "micro_batch": placement.micro_batch,
                "packed": placement.packed,
            },
        ),
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str:
    """Git commit of the code, or '' outside a checkout."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()
