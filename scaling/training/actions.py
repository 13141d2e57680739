"""The two actions of a step, train and score: weights and rows in, files and a record out.

Nothing is committed here.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import torch

from scaling.catalogue.task import DEV, Key, TaskSpec
from scaling.data.features import as_features
from scaling.encoders.encoder import Weights, row_lookup
from scaling.encoders.engine import Engine, start_scoring, start_training, versions
from scaling.encoders.weights import KEPT_ROWS, check_staged, model_files
from scaling.kinds import KINDS
from scaling.planning.memory import touches_few
from scaling.store.cache import fetch, keep
from scaling.store.curves import write_curve
from scaling.store.leases import Lease
from scaling.store.paths import StepFolder
from scaling.store.records import WEIGHTS, Cost, EvalRow, Provenance, StepRecord, Training
from scaling.study.collapse import has_collapsed
from scaling.study.mixture import schedule
from scaling.study.recipes import Recipe
from scaling.study.steps import Plan, Step
from scaling.training.curve import curve_of
from scaling.training.energy import JOULES_PER_KWH, device_joules
from scaling.training.evaluation import predict, score_languages
from scaling.training.inputs import (
    Context,
    Material,
    head_of,
    in_use,
    materials_of,
    streams_of,
    tables_of,
    updates_of,
)
from scaling.training.loop import TrainingRun, run_updates
from scaling.training.portions import Kept, basis_of, score_in_portions
from scaling.training.resume import resume_point


@dataclass
class _Clock:
    """Seconds by part of a step."""

    started: float = field(default_factory=time.monotonic)
    parts: dict[str, float] = field(default_factory=dict)
    joules: float | None = None
    """Of this rank's device when the step began."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + time.monotonic() - start


def _clock(context: Context) -> _Clock:
    return _Clock(joules=device_joules(context.world.device))


@dataclass(frozen=True, kw_only=True)
class Start:
    """The weights that a step starts from, as files of the store."""

    folder: str
    files: dict[str, str]
    """File → SHA-256."""
    manifest: str
    """Store name of what says that they are whole."""
    attempt: str
    """Of the parent; empty for a pretrained model."""


def start_of(step: Step, context: Context) -> Start:
    """Where a step starts. StoreError if the pretrained model is not there."""
    store = context.store
    if step.parent is None:
        files, folder = model_files(store, step.staged), f"models/{step.staged}"
        return Start(folder=folder, files=files, manifest=f"{folder}/manifest.json", attempt="")
    record = store.record(step.parent)
    attempt = record.provenance.attempt
    return Start(
        folder=store.folder_of(record).weights(attempt),
        files=record.weight_files,
        manifest=store.folder_of(record).weights_manifest(attempt),
        attempt=attempt,
    )


def _weights(step: Step, context: Context, start: Start) -> Weights:
    """What lies there, verified by hash."""
    local = fetch(context.store, start.folder, start.files, context.cache)
    if step.parent is None:
        locked = context.plan.lock.models[step.staged]["weights"]
        check_staged(local, start.files, locked, f"{context.store.uri}/{start.folder}")
    kept = local / KEPT_ROWS
    return Weights(
        folder=local,
        architecture=context.plan.study.model(step.model).architecture,
        kept_rows=kept if kept.is_file() else None,
        random_init=step.random_init,
    )


def train(step: Step, context: Context, lease: Lease | None) -> StepRecord:
    """Train the step's model on its mixture; its weights lie in the attempt's folder afterwards.

    All ranks call it and all get the record. `lease`: rank 0's hold of the step; None on other
    ranks.
    """
    world, recipe, clock = context.world, step.recipe, _clock(context)
    seed = step.training_seed
    with clock.part("load"):
        start = start_of(step, context)
        weights = _weights(step, context, start)
        # These are read before the weights are loaded: afterwards the parent's files may go.
        lookup, beside = row_lookup(weights), weights.beside()
        materials = materials_of(step, context, lookup)
        updates = updates_of(step, context, lookup, materials)
        needed = None
        whole = context.placement.whole_vocabulary
        if not whole and touches_few(context.plan.study, step):
            needed, materials = in_use(materials, lookup)
            lookup = needed.lookup
        streams, drawn = streams_of(step, materials, updates)
        turns = schedule(updates, seed, step.mixture.mlm_ratio)
        lora = context.plan.study.adapters
        engine = start_training(
            weights,
            partial(head_of, materials),
            recipe,
            context.placement,
            world,
            seed,
            lora,
            None if needed is None else needed.rows,
        )
        params = context.plan.study.model(step.model).total_params
    with closing(engine):
        with clock.part("load"):
            resume = resume_point(
                step.id,
                context.store,
                world,
                context.placement,
                context.cache,
                params,
                0 if needed is None else len(needed.rows),
                world.from_first(0 if lease is None else lease.token),
            )
        with clock.part("work"):
            run = TrainingRun(
                engine=engine,
                streams=streams,
                turns=turns,
                recipe=recipe,
                placement=context.placement,
                seed=seed,
            )
            dev_score = None
            if materials[0].dev:
                dev_score = _look(engine, materials[0], recipe, lookup, context)
            losses = run_updates(
                run,
                progress=_progress(context, lease),
                resume=resume,
                notice=context.notice,
                dev_score=dev_score,
            )
            scored = [
                _dev_row(engine, one, number, lookup, context)
                for number, one in enumerate(materials)
            ]
        with clock.part("save"):
            folder = _own_folder(step, context)
            engine.export(folder / "weights", beside)
    with clock.part("save"):
        files = _publish(step, context, folder)
        digest = ""
        if world.rank == 0:
            curve = curve_of(losses, recipe)
            digest = write_curve(context.store, step.id, context.owner, curve)
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
            # From shuffled labels nothing but guessing can be learnt.
            if not member.shuffled_labels
        ),
        truncated_examples=sum(stream.features.cut for stream in streams),
        drawn=drawn if len(drawn) > 1 else {},
        selected_update=losses.selected,
        dev_scores={
            one.task.name: row.value
            for one, row in zip(materials, scored, strict=True)
            if row is not None and len(materials) > 1
        },
    )
    return _record(
        step, context, clock, start, training=training, rows=[], files=files, curve=digest
    )


def _look(
    engine: Engine, one: Material, recipe: Recipe, lookup: np.ndarray | None, context: Context
) -> Callable[[], float]:
    """What gives the main score of the first member on the dev data that selects weights.

    `lookup`: token id → row of a trimmed matrix, shape (V,), or None.
    """
    most = recipe.select_examples
    if most and one.task.kind != "retrieval":
        rows, table = one.dev[DEV]
        chosen = pa.compute.less(table["row"], most)
        one = replace(one, dev={DEV: (rows.slice(0, most), table.filter(chosen))})

    def score() -> float:
        row = _dev_row(engine, one, 0, lookup, context)
        assert row is not None
        return row.value

    return score


def _dev_row(
    engine: Engine, one: Material, number: int, lookup: np.ndarray | None, context: Context
) -> EvalRow | None:
    """The main score of a member on its English dev data; None where it has none.

    `lookup`: token id → row of a trimmed matrix, shape (V,), or None.
    """
    if not one.dev:
        return None
    dev = as_features(one.dev[DEV][1], lookup)
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


def _as_trained(step: Step, plan: Plan) -> TaskSpec:
    """The task that a step scores, its labels in the order of the head that was trained."""
    task = plan.study.task(step.task)
    if step.parent is None:
        return task
    trained = plan.study.task(plan.steps[step.parent].task)
    fits = trained.kind == task.kind and set(trained.labels) == set(task.labels)
    return task.model_copy(update={"labels": trained.labels}) if fits else task


def score(step: Step, context: Context, lease: Lease | None) -> StepRecord:
    """Score the step's parent on all its test languages; the outcomes lie in the attempt's folder.

    What an earlier try finished of it is taken as it is (portions.py).

    All ranks call it and all get the record. `lease`: rank 0's hold of the step; None on other
    ranks.
    """
    world, recipe, clock = context.world, step.recipe, _clock(context)
    task = _as_trained(step, context.plan)
    kind = KINDS[task.kind]
    with clock.part("load"):
        start = start_of(step, context)
        weights = _weights(step, context, start)
        lookup = row_lookup(weights)
        tables = tables_of(step, context, task, recipe, _scored_keys(step, context.plan, task))
        features = {key: as_features(table, lookup) for key, (_, table) in tables.items()}
        engine = start_scoring(
            weights,
            lambda hidden: kind.head(hidden, task, recipe),
            recipe,
            context.placement,
            world,
        )
    kept = Kept(
        store=context.store,
        step=step.id,
        world=world,
        basis=basis_of(start.attempt, start.files),
    )
    with closing(engine), clock.part("work"):
        rows, outcomes = score_in_portions(
            engine.core, tables, features, kind, task, recipe, kept, _progress(context, lease)
        )
    with clock.part("save"):
        folder = _own_folder(step, context)
        if world.rank == 0:
            buffer = io.BytesIO()
            pq.write_table(outcomes, buffer, compression="zstd")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "outcomes.parquet").write_bytes(buffer.getvalue())
        files = _publish(step, context, folder)
    counts = {str(key): dict(kind.counts(*both)) for key, both in tables.items()}
    counts = {key: found for key, found in counts.items() if found}
    return _record(
        step, context, clock, start, training=None, rows=rows, files=files, counts=counts
    )


def _scored_keys(step: Step, plan: Plan, task: TaskSpec) -> list[Key]:
    """Test splits of the study's languages."""
    return [Key("test", code) for code in plan.study.test_languages(task.name)]


def _progress(context: Context, lease: Lease | None) -> Any:
    """What is called with (done, total): a sign of life, and a check that the lease still holds."""

    def note(done: int, total: int) -> None:
        context.alive()
        if lease is not None:
            lease.check()
            lease.progress = {"done": done, "total": total}

    return note


def _own_folder(step: Step, context: Context) -> Path:
    """A folder of this rank alone to make its files in, which are moved from there.

    It lies inside the store if that is local, so that moving is renaming.
    """
    attempt = context.store.local_path(StepFolder(step.id).attempt(context.owner))
    if attempt is not None:
        return attempt / f".rank-{context.world.rank}"
    return context.cache.own / "made" / step.id


def _publish(step: Step, context: Context, folder: Path) -> dict[str, str]:
    """Upload this rank's files; SHA-256 by file name of what all ranks made, on every rank.

    Rank 0 writes the weights' manifest once all have uploaded.
    """
    name = StepFolder(step.id).attempt(context.owner)
    num_bytes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    hashes = context.store.upload(folder, name, move=context.store.local is not None)
    if context.store.local is None:
        for file, digest in hashes.items():
            # Steps that start from these weights on this machine find them here.
            if file.startswith(WEIGHTS):
                keep(context.cache, folder / file, digest)
        shutil.rmtree(folder, ignore_errors=True)
    manifest: dict[str, dict[str, int | str]] = {}
    for rank, (files, sizes) in enumerate(context.world.gather((hashes, num_bytes))):
        for file, digest in files.items():
            manifest[file] = {"sha256": digest, "bytes": sizes[file], "rank": rank}
    if context.world.rank == 0 and step.action == "train":
        whole = StepFolder(step.id).weights_manifest(context.owner)
        context.store.write(whole, json.dumps(manifest, indent=1))
    return {file: str(entry["sha256"]) for file, entry in manifest.items()}


def _record(
    step: Step,
    context: Context,
    clock: _Clock,
    start: Start,
    *,
    training: Training | None,
    rows: list[EvalRow],
    files: dict[str, str],
    counts: dict[str, dict[str, int]] | None = None,
    curve: str = "",
) -> StepRecord:
    """The record of a finished step.

    Args:
        step: What was done.
        context: Where.
        clock: What it took.
        start: The weights that it started from.
        training: What a training did.
        rows: The scores of a scoring.
        files: SHA-256 by name.
        counts: In words, what was cut or could not be predicted, by split and language.
        curve: SHA-256 of a training's curve, on the first rank.
    """
    world, placement = context.world, context.placement
    device = torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else "cpu"
    return StepRecord(
        step=step.id,
        fingerprint=step.fingerprint,
        identity=dict(step.identity),
        training=training,
        rows=rows,
        files=files,
        counts=counts or {},
        cost=Cost(
            wall_seconds=time.monotonic() - clock.started,
            load_seconds=clock.parts.get("load", 0.0),
            work_seconds=clock.parts.get("work", 0.0),
            save_seconds=clock.parts.get("save", 0.0),
            num_devices=world.size if placement.sharing == 1 else placement.devices,
            device=device,
            kwh=_kwh(clock, context),
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
            parent=start.attempt,
            curve=curve,
        ),
    )


def _kwh(clock: _Clock, context: Context) -> float | None:
    """Energy of all ranks' devices since the step began; every rank calls it."""
    ended = device_joules(context.world.device)
    own = None if clock.joules is None or ended is None else ended - clock.joules
    used = context.world.gather(own)
    if context.placement.packed or None in used:
        return None
    return float(sum(used)) / JOULES_PER_KWH


def now() -> str:
    """The time, UTC, in ISO 8601 to the second."""
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
