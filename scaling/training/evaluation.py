"""Scores of one checkpoint on one task: every distinct sequence is computed once, longest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from scaling.catalogue.task import Key, TaskSpec
from scaling.data.batching import Batch, ahead, collate, scoring_batches
from scaling.data.features import Features
from scaling.encoders.world import World
from scaling.kinds.kind import Kind, Part, scores
from scaling.store.records import EvalRow
from scaling.study.recipes import Recipe
from scaling.training.vectors import OwnVectors, SharedVectors

# Padded tokens of a scoring batch: enough to fill a GPU, and few enough for a CPU's caches.
TOKENS_PER_BATCH = {"cuda": 32_768, "cpu": 1_024}


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was computed of some sequences."""

    each: Sequence[Any]
    """Of each sequence: an array (…) as the kind's `predict` gives it, of kinds that predict per
    token L x …; of kinds that are searched the number of its vectors.
    """
    vectors: SharedVectors | None = None
    """Of kinds that are searched."""


def predict(
    model: Any,
    features: Features,
    kind: Kind,
    recipe: Recipe,
    world: World,
    progress: Callable[[int, int], None] = lambda done, total: None,
    member: int = 0,
    known: Mapping[bytes, np.ndarray] | None = None,
) -> Predicted:
    """One prediction per sequence, in order; the ranks share the batches and all get everything.

    Vectors that are searched stay where they are computed. Sequences that are equal token by token
    (the English side of every language pair) are computed once.

    Args:
        model: The network, or DeepSpeed's engine around it.
        features: The sequences.
        kind: The kind of their task.
        recipe: Its `pool_depth` counts.
        world: The ranks, all of which call this.
        progress: Called with the rounds of batches that are done, and all.
        member: Number of the head, where several tasks are trained together.
        known: Predictions of sequences that need not be computed, each of shape (…), by the bytes
            of their token ids; of kinds that are searched none.
    """
    known = known or {}
    keys = [ids.tobytes() for ids in features.input_ids]
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        if key not in known:
            first.setdefault(key, index)
    unique = list(first.values())
    distinct = features.selected(unique)
    batches = list(scoring_batches(distinct, TOKENS_PER_BATCH[world.device.type]))
    # Under ZeRO-3 a forward pass is a collective: every rank must make the same number of them.
    rounds = -(-len(batches) // world.size)
    mine: dict[int, np.ndarray] = {}
    kept = OwnVectors(batches, world) if kind.searched else None
    module = getattr(model, "module", model)
    # Other depths are scored only of encoders without training as a dual encoder, which is trained
    # on its last layer.
    swept = kind.mid_depth and recipe.pool_depth < 1
    depth = (recipe.pool_depth, *kind.sweep) if swept else None
    training = module.training
    module.eval()

    def prepare(turn: int) -> tuple[list[int], Batch]:
        chosen = batches[min(turn * world.size + world.rank, len(batches) - 1)]
        return chosen, collate(distinct, kind, chosen).pinned()

    # A batch is read after the next one was started, so that a GPU always has work.
    waiting: tuple[list[int], Callable[[], np.ndarray]] | None = None
    with torch.inference_mode() if world.size == 1 else torch.no_grad():
        for turn, (chosen, prepared) in enumerate(ahead(prepare, rounds)):
            batch = prepared.to(world.device)
            hidden = model(batch.input_ids, batch.mask, depth, batch.lengths, batch.offsets)
            # A rank without a batch of its own repeats the last one, head included, so that every
            # rank joins each all-gather.
            found = kind.predict(module.head_of(member), hidden, batch.mask, batch.targets)
            repeated = turn * world.size + world.rank >= len(batches)
            if kept is not None:
                kept.add(found, repeated=repeated)
            else:
                following = None if repeated else (chosen, _on_host(found))
                if waiting is not None:
                    _keep(mine, distinct, kind, *waiting)
                waiting = following
            progress(turn + 1, rounds)
    if waiting is not None:
        _keep(mine, distinct, kind, *waiting)
    module.train(training)
    position = {key: index for index, key in enumerate(first)}
    if kept is not None:
        numbers = [position[key] for key in keys]
        return Predicted(each=numbers, vectors=kept.shared(lambda: progress(rounds, rounds)))
    merged: dict[int, np.ndarray] = {}
    for part in world.gather(mine):
        merged.update(part)
    return Predicted(each=[known[key] if key in known else merged[position[key]] for key in keys])


def _on_host(found: torch.Tensor) -> Callable[[], np.ndarray]:
    """Begin to copy a tensor of any shape to host memory; the result waits for the copy's end."""
    found = found.float() if found.dtype == torch.bfloat16 else found
    if found.device.type != "cuda":
        return found.numpy
    host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
    host.copy_(found, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def read() -> np.ndarray:
        done.synchronize()
        return np.array(host.numpy())

    return read


def _keep(
    into: dict[int, np.ndarray],
    features: Features,
    kind: Kind,
    chosen: Sequence[int],
    found: Callable[[], np.ndarray],
) -> None:
    """Put the predictions of a batch, B x …, into `into` by sequence, without padding."""
    for index, row in zip(chosen, found(), strict=True):
        into[index] = row[: len(features.input_ids[index])] if kind.per_token else row


def score_languages(
    splits: Mapping[Key, tuple[pa.Table, pa.Table]],
    predictions: Predicted,
    kind: Kind,
    task: TaskSpec,
) -> tuple[list[EvalRow], pa.Table]:
    """(rows, per-example outcomes with their `key`) of all splits.

    Args:
        splits: (rows, features) of each.
        predictions: Of `predict`, one for each feature row, in the order of `splits`.
        kind: The kind of the task.
        task: The task.
    """
    rows: list[EvalRow] = []
    tables = []
    for part in _parts(splits, predictions, kind):
        outcomes = kind.outcomes(part, task)
        for score in scores(outcomes, kind.chance(part, task), kind.sweep):
            rows.append(
                EvalRow(
                    language=part.language,
                    split="dev" if part.key.split == "dev" else "test",
                    metric=score.metric,
                    depth=score.depth,
                    n=score.n,
                    value=score.value,
                    chance=score.chance,
                    main=score.main,
                )
            )
        tables.append(
            outcomes.add_column(
                0, "key", pa.array([str(part.key)] * outcomes.num_rows, pa.string())
            )
        )
    return rows, pa.concat_tables(tables)


def _parts(
    splits: Mapping[Key, tuple[pa.Table, pa.Table]], predictions: Predicted, kind: Kind
) -> Sequence[Part]:
    """Each split with its predictions, and what the splits share."""
    parts = []
    start = 0
    for key, (table, features) in splits.items():
        end = start + features.num_rows
        parts.append(
            Part(
                key=key,
                rows=table,
                features=features,
                predictions=predictions.each[start:end],
                vectors=predictions.vectors,
            )
        )
        start = end
    return kind.share(parts) if kind.share else parts
