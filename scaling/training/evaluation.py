"""One checkpoint, one task, all its languages: every distinct sequence is computed once, longest
first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from scaling.catalogue.task import TaskSpec
from scaling.data.batching import Batch, ahead, collate, scoring_batches
from scaling.data.features import Features
from scaling.encoders.world import World
from scaling.kinds.kind import Kind, Part, scores
from scaling.store.records import EvalRow
from scaling.study.recipes import Recipe

# Padded tokens of one scoring batch: fills a GPU, and keeps a CPU's caches warm.
TOKENS_PER_BATCH = {"cuda": 32_768, "cpu": 1_024}


def predict(
    model: Any,
    features: Features,
    kind: Kind,
    recipe: Recipe,
    world: World,
    progress: Callable[[int, int], None] = lambda done, total: None,
    member: int = 0,
) -> list[np.ndarray]:
    """One prediction per sequence, in order; the ranks share the batches and all get everything.

    `member` numbers the head, where several tasks are trained together.

    Sequences that are equal token by token (the English side of every language pair) are computed
    once.
    """
    keys = [ids.tobytes() for ids in features.input_ids]
    first: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    unique = list(first.values())
    distinct = Features(
        input_ids=[features.input_ids[index] for index in unique],
        targets=[features.targets[index] for index in unique],
        units=np.arange(len(unique)),
        cut=0,
    )
    batches = list(scoring_batches(distinct, TOKENS_PER_BATCH[world.device.type]))
    # Under ZeRO-3 a forward pass is a collective: every rank must make the same number of them.
    rounds = -(-len(batches) // world.size)
    mine: dict[int, np.ndarray] = {}
    module = getattr(model, "module", model)
    # The last layer of a dual encoder is what was trained: other depths say something of untrained
    # vectors only.
    swept = kind.mid_depth and recipe.pool_depth < 1
    depth = (recipe.pool_depth, *kind.sweep) if swept else None
    training = module.training
    module.eval()

    def prepare(turn: int) -> tuple[list[int], Batch]:
        chosen = batches[min(turn * world.size + world.rank, len(batches) - 1)]
        return chosen, collate(distinct, kind, chosen).pinned()

    # One batch behind: a GPU has the next one to compute while this one is read.
    behind: Callable[[], None] | None = None
    with torch.inference_mode() if world.size == 1 else torch.no_grad():
        for turn, (chosen, prepared) in enumerate(ahead(prepare, rounds)):
            batch = prepared.to(world.device)
            hidden = model(batch.input_ids, batch.mask, depth)
            # The head too is a module whose weights are gathered: also who repeats a batch runs it.
            found = _on_host(
                kind.predict(module.head_of(member), hidden, batch.mask, batch.targets)
            )
            if behind is not None:
                behind()
            counts = turn * world.size + world.rank < len(batches)
            behind = partial(_keep, mine if counts else {}, distinct, kind, chosen, found)
            progress(turn + 1, rounds)
    if behind is not None:
        behind()
    module.train(training)
    merged: dict[int, np.ndarray] = {}
    for part in world.gather(mine):
        merged.update(part)
    position = {key: index for index, key in enumerate(first)}
    return [merged[position[key]] for key in keys]


def _on_host(found: torch.Tensor) -> Callable[[], np.ndarray]:
    """A copy that has begun, and waits for its end when it is asked for."""
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
    for index, row in zip(chosen, found(), strict=True):
        into[index] = row[: len(features.input_ids[index])] if kind.per_token else row


def score_languages(
    splits: Mapping[str, tuple[pa.Table, pa.Table]],
    predictions: Sequence[np.ndarray],
    kind: Kind,
    task: TaskSpec,
) -> tuple[list[EvalRow], pa.Table]:
    """(rows, per-example outcomes with `key`) of all `SPLIT.LANGUAGE`, from predictions in their
    order.
    """
    rows: list[EvalRow] = []
    tables = []
    for part in _parts(splits, predictions, kind):
        outcomes = kind.outcomes(part, task)
        for score in scores(outcomes, kind.chance(part, task)):
            rows.append(
                EvalRow(
                    language=part.language,
                    split="dev" if part.key.startswith("dev.") else "test",
                    metric=score.metric,
                    n=score.n,
                    value=score.value,
                    chance=score.chance,
                    main=score.main,
                )
            )
        tables.append(
            outcomes.add_column(0, "key", pa.array([part.key] * outcomes.num_rows, pa.string()))
        )
    return rows, pa.concat_tables(tables)


def _parts(
    splits: Mapping[str, tuple[pa.Table, pa.Table]], predictions: Sequence[np.ndarray], kind: Kind
) -> Sequence[Part]:
    parts = []
    start = 0
    for key, (table, features) in splits.items():
        end = start + features.num_rows
        parts.append(
            Part(key=key, rows=table, features=features, predictions=predictions[start:end])
        )
        start = end
    return kind.share(parts) if kind.share else parts
