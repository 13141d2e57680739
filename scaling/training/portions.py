"""A scoring in portions of whole languages: each is kept as soon as it is done.

A scoring that dies leaves its finished portions in the step's folder; the next try of the same step
takes them and computes the others. Which languages make a portion, and which sequences share a
pass, hangs on the data and the devices alone, never on what was kept: the rows are the same bits
with and without a death between.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scaling.catalogue.task import Key, TaskSpec
from scaling.data.features import Features, joined_for_scoring
from scaling.encoders.world import World
from scaling.kinds.kind import Kind
from scaling.store.files import StoreError
from scaling.store.paths import StepFolder
from scaling.store.records import EvalRow, digest_of
from scaling.store.store import Store
from scaling.study.identity import canonical_json
from scaling.study.recipes import Recipe
from scaling.training.evaluation import TOKENS_PER_BATCH, predict, score_languages

LEAST_BATCHES = 16
"""Of a portion on each device: fewer would leave devices idle at its end too often."""

Tables = Mapping[Key, tuple[pa.Table, pa.Table]]
Scored = tuple[list[EvalRow], pa.Table]
"""Rows, and outcomes with their `key`, as `score_languages` gives them."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The finished portions of a step, in its folder."""

    store: Store
    step: str
    world: World
    basis: str
    """What the scores rest on beside the step itself: the attempt and the files of its weights."""

    def find(self, keys: Sequence[Key]) -> Scored | None:
        """What an earlier try left of a portion, the same on every rank; None if nothing whole."""
        return self.world.from_first(self._read(keys) if self.world.rank == 0 else None)

    def keep(self, keys: Sequence[Key], scored: Scored) -> None:
        """Write a portion; only rank 0 does. What says that it is whole is written last."""
        if self.world.rank != 0:
            return
        buffer = io.BytesIO()
        pq.write_table(scored[1], buffer, compression="zstd")
        raw, name = buffer.getvalue(), self._name(keys)
        self.store.write(f"{name}.parquet", raw)
        rows = [asdict(row) for row in scored[0]]
        said = {"rows": rows, "outcomes": hashlib.sha256(raw).hexdigest()}
        self.store.write_json(f"{name}.json", said)

    def _name(self, keys: Sequence[Key]) -> str:
        text = canonical_json({"basis": self.basis, "keys": [str(key) for key in keys]})
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"{StepFolder(self.step).resume}/portion-{digest[:16]}"

    def _read(self, keys: Sequence[Key]) -> Scored | None:
        name = self._name(keys)
        try:
            said = json.loads(self.store.read(f"{name}.json"))
            raw = self.store.read(f"{name}.parquet")
            # Scores that were altered, or damaged bytes: they are computed again. Bytes are not
            # parsed before that, over which Parquet's reader may hang or crash.
            whole = {"rows": said["rows"], "outcomes": hashlib.sha256(raw).hexdigest()}
            if said["digest"] != digest_of(whole):
                return None
            return [EvalRow(**row) for row in said["rows"]], pq.read_table(io.BytesIO(raw))
        except (FileNotFoundError, StoreError, ValueError, KeyError, TypeError, RecursionError):
            return None


def basis_of(attempt: str, files: Mapping[str, str]) -> str:
    """Digest of the weights that are scored: whose attempt made them, SHA-256 by file."""
    text = canonical_json({"attempt": attempt, "files": dict(files)})
    return hashlib.sha256(text.encode()).hexdigest()


def portions(features: Mapping[Key, Features], tokens: int) -> list[list[Key]]:
    """Languages in order, as many in a portion as have so many tokens together, or more."""
    found: list[list[Key]] = [[]]
    size = 0
    for key, one in features.items():
        if found[-1] and size >= tokens:
            found.append([])
            size = 0
        found[-1].append(key)
        size += int(one.lengths.sum())
    return found


def stands_alone(kind: Kind, tables: Tables) -> bool:
    """Whether each language can be scored without the others: none looks among their candidates."""
    return kind.share is None or all(
        "candidate" in set(rows["side"].to_pylist()) for rows, _ in tables.values()
    )


def score_in_portions(
    model: Any,
    tables: Tables,
    features: Mapping[Key, Features],
    kind: Kind,
    task: TaskSpec,
    recipe: Recipe,
    kept: Kept,
    progress: Callable[[int, int], None],
) -> Scored:
    """Rows and outcomes of all splits, of which those are computed that no earlier try left.

    Sequences of several portions (the English side of language pairs) are computed once, before
    them, in passes of their own; vectors that are searched in each.

    Args:
        model: The network, or DeepSpeed's engine around it.
        tables: Rows and features of each split.
        features: The same features as arrays.
        kind: The kind of the task.
        task: The task.
        recipe: Its `pool_depth` counts.
        kept: Where finished portions lie; its ranks all call this.
        progress: Called with the sequences that are done, and all.
    """
    world = kept.world
    least = LEAST_BATCHES * TOKENS_PER_BATCH[world.device.type] * world.size
    order = portions(features, least) if stands_alone(kind, tables) else [[*features]]
    found = [kept.find(keys) if len(order) > 1 else None for keys in order]
    known: dict[bytes, np.ndarray] = {}
    sizes = [sum(len(features[key].input_ids) for key in keys) for keys in order]
    total, done = sum(sizes), 0
    # Vectors stay with what they are searched for: those of several portions are computed in each.
    if None in found and len(order) > 1 and not kind.searched:
        common = _common([[features[key] for key in keys] for keys in order])
        if common.input_ids:
            made = predict(model, common, kind, recipe, world)
            names = [ids.tobytes() for ids in common.input_ids]
            known = dict(zip(names, made.each, strict=True))
    scored: list[Scored] = []
    for keys, size, left in zip(order, sizes, found, strict=True):
        if left is None:

            def note(turn: int, rounds: int, share: int = size, before: int = done) -> None:
                progress(before + share * turn // rounds, total)

            both = joined_for_scoring([features[key] for key in keys])
            predictions = predict(model, both, kind, recipe, world, note, known=known)
            left = score_languages({key: tables[key] for key in keys}, predictions, kind, task)
            if len(order) > 1:
                kept.keep(keys, left)
        scored.append(left)
        done += size
    outcomes = pa.concat_tables([one for _, one in scored])
    return [row for rows, _ in scored for row in rows], outcomes


def _common(parts: Sequence[Sequence[Features]]) -> Features:
    """The distinct sequences that more than one portion has, in the order in which they come."""
    where: Counter[bytes] = Counter()
    first: dict[bytes, tuple[Features, int]] = {}
    for portion in parts:
        own = {
            ids.tobytes(): (one, index)
            for one in reversed(portion)
            for index, ids in reversed([*enumerate(one.input_ids)])
        }
        where.update(own.keys())
        for name, place in own.items():
            first.setdefault(name, place)
    chosen = [first[name] for name, count in where.items() if count > 1]
    return joined_for_scoring([one.selected([index]) for one, index in chosen])
