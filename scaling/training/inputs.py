"""What a training trains on: the data of its members, their updates, and the order of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from torch import nn

from scaling.catalogue.hardware import Placement
from scaling.catalogue.task import DEV, Key, TaskSpec
from scaling.data.features import Features, as_features, joined
from scaling.data.order import sampled_order, training_order
from scaling.data.tokens import features
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.kinds.kind import Kind
from scaling.planning.memory import SPECIAL_ROWS
from scaling.spec import UserError
from scaling.store.cache import Cache, fetch
from scaling.store.store import Store
from scaling.study.mixture import member_updates
from scaling.study.plan import TEXT_FIELDS
from scaling.study.recipes import Recipe
from scaling.study.steps import Plan, Step

# Any numbers would do; they are part of every training's bits.
SALT_SHUFFLED_LABELS = 2_108_11696
MEMBER_STEP = 7_919


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One task of a training, ready to be drawn from."""

    features: Features
    kind: Kind
    recipe: Recipe
    """Its own `pool_depth` counts; everything about updates is the step's recipe."""
    order: Sequence[np.ndarray]
    """Units of each of its updates."""
    new_draws: bool = False
    """Mask anew at every update, since units may repeat in an epoch; else once an epoch."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the steps of one process group share."""

    plan: Plan
    store: Store
    world: World
    placement: Placement
    cache: Cache
    owner: str
    """Name of this attempt, in leases and folders."""
    alive: Callable[[], None] = lambda: None
    """Called on every rank whenever the step makes progress."""
    notice: Callable[[], float | None] = lambda: None
    """Seconds until a machine goes away, the same on all ranks; None while none does."""


def tables_of(
    step: Step, context: Context, task: TaskSpec, recipe: Recipe, keys: Sequence[Key]
) -> dict[Key, tuple[pa.Table, pa.Table]]:
    """(rows, token features) of each key.

    Args:
        step: Its staged model's tokenizer and its transliteration count.
        context: Plan, store and cache.
        task: The task to read.
        recipe: How its text is read.
        keys: What to read of it.
    """
    study = context.plan.study
    files = {"tokenizer.json": context.plan.lock.models[step.staged]["tokenizer"]}
    tokenizer = (
        fetch(context.store, f"models/{step.staged}", files, context.cache) / "tokenizer.json"
    )
    hashes = context.plan.lock.data[task.name]
    tables = {code: study.table(name) for code, name in step.transliterate.items()}
    return {
        key: features(
            context.store,
            task,
            key,
            hashes[str(key)],
            recipe,
            tokenizer,
            tables.get(key.language),
            study.model(step.model).entry,
        )
        for key in keys
    }


@dataclass(frozen=True, kw_only=True)
class InUse:
    """The rows of the word embedding that a training needs."""

    rows: np.ndarray
    """Ascending, shape (R,): those of its texts and of its dev data, and of special tokens."""
    lookup: np.ndarray
    """Token id → number among them, -1 for others, shape (V,)."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """One member of a training: its task and data."""

    task: TaskSpec
    kind: Kind
    recipe: Recipe
    parts: Sequence[Features]
    """Training features by language."""
    dev: dict[Key, tuple[pa.Table, pa.Table]]
    """English dev rows and features; empty where there are none."""

    @property
    def units(self) -> int:
        """Training units over all languages."""
        return sum(part.num_units for part in self.parts)


def materials_of(step: Step, context: Context, lookup: np.ndarray | None) -> list[Material]:
    """The members of a training, in order.

    `lookup`: token id → row of a trimmed matrix, shape (V,), or None.
    """
    study, found = context.plan.study, []
    for member in step.mixture.members:
        task = study.task(member.task)
        # Of several tasks each keeps its own way of reading text. The step's recipe is that of the
        # first.
        text = study.recipe(member.task).model_dump(include=TEXT_FIELDS | {"pool_depth"})
        recipe = step.recipe.model_copy(update=text if len(step.mixture.members) > 1 else {})
        keys = [Key("train", code) for code in member.languages]
        tables = tables_of(step, context, task, recipe, [*keys, *([DEV] if task.has_dev else [])])
        parts = [as_features(tables[key][1], lookup) for key in keys]
        if member.shuffled_labels:
            parts = [
                _with_shuffled_labels(part, KINDS[task.kind], step.training_seed) for part in parts
            ]
        dev = {key: tables[key] for key in tables if key == DEV}
        found.append(
            Material(task=task, kind=KINDS[task.kind], recipe=recipe, parts=parts, dev=dev)
        )
    return found


def in_use(
    materials: Sequence[Material], lookup: np.ndarray | None
) -> tuple[InUse, list[Material]]:
    """The rows that the members need, and the members on them.

    `lookup`: token id → row of a trimmed matrix, shape (V,), or None.
    """
    used = [np.arange(SPECIAL_ROWS)]
    for one in materials:
        dev = [as_features(table, lookup) for _, table in one.dev.values()]
        for part in (*one.parts, *dev):
            used += [np.unique(np.concatenate([np.zeros(0, np.int64), *part.input_ids]))]
    rows = np.unique(np.concatenate(used))
    number = np.full(int(rows[-1]) + 1, -1, dtype=np.int64)
    number[rows] = np.arange(len(rows))
    renumbered = [
        replace(
            one,
            parts=[
                replace(part, input_ids=[number[ids] for ids in part.input_ids])
                for part in one.parts
            ],
        )
        for one in materials
    ]
    if lookup is not None:
        known = (lookup >= 0) & (lookup < len(number))
        number = np.where(known, number[np.where(known, lookup, 0)], -1)
    return InUse(rows=rows, lookup=number), renumbered


def _with_shuffled_labels(features: Features, kind: Kind, seed: int) -> Features:
    """Features whose labels have changed places among the sequences."""
    if kind.shuffled is None:
        raise UserError("this kind of task has no labels to be shuffled")
    return replace(
        features,
        targets=kind.shuffled(
            features.targets, np.random.default_rng([seed, SALT_SHUFFLED_LABELS])
        ),
    )


def updates_of(
    step: Step, context: Context, lookup: np.ndarray | None, materials: Sequence[Material]
) -> list[int]:
    """Updates of each member, in order; one sum where the step is matched to other trainings.

    Args:
        step: A training.
        context: Plan, store and cache.
        lookup: Token id → row of a trimmed matrix, shape (V,), or None.
        materials: Its members, of `materials_of`.
    """
    mixture = step.mixture
    if not step.updates_like:
        return member_updates(
            [material.units for material in materials],
            step.recipe,
            mixture.sampling,
            mixture.mlm_ratio,
        )
    total = 0
    for name in step.updates_like:
        other = context.plan.steps[name]
        total += sum(updates_of(other, context, lookup, materials_of(other, context, lookup)))
    return [total]


def streams_of(
    step: Step, materials: Sequence[Material], updates: Sequence[int]
) -> tuple[list[Stream], dict[str, int]]:
    """(what is drawn in which order, examples drawn of each `TASK.LANGUAGE`)."""
    streams, drawn = [], {}
    for number, (member, one, own) in enumerate(
        zip(step.mixture.members, materials, updates, strict=True)
    ):
        seed, batch = step.training_seed + MEMBER_STEP * number, step.recipe.batch
        sizes = [part.num_units for part in one.parts]
        if len(sizes) == 1:
            whole = one.parts[0]
            order = training_order(whole.num_units, step.recipe, seed, own)
        else:
            whole = joined(one.parts)
            order = sampled_order(sizes, member.exponent, own, batch, seed)
        several = len(sizes) > 1 or len(materials) > 1
        streams.append(
            Stream(features=whole, kind=one.kind, recipe=one.recipe, order=order, new_draws=several)
        )
        edges = np.cumsum([0, *sizes])
        units = np.concatenate(order) if order else np.zeros(0, np.int64)
        for code, count in zip(
            member.languages, np.histogram(units, bins=edges)[0].tolist(), strict=True
        ):
            drawn[f"{member.task}.{code}"] = count
    return streams, drawn


def head_of(materials: Sequence[Material], hidden: int) -> nn.Module:
    """The head of the one task, or of each."""
    heads = [material.kind.head(hidden, material.task, material.recipe) for material in materials]
    return heads[0] if len(heads) == 1 else nn.ModuleList(heads)
