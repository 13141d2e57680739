"""Study → cells → unique steps, in an order in which parents come first. Pure: the same study, the same steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from scaling.fingerprint import fingerprint
from scaling.models import ModelSpec
from scaling.recipes import Recipe
from scaling.study import Arm, Study
from scaling.tasks import KIND_VERSIONS, TaskSpec

Phase = Literal["ii", "iii", "eval"]


@dataclass(frozen=True, kw_only=True)
class Lock:
    """What staging resolved, once: hashes of everything that a step reads. Empty before staging."""

    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Model → `weights`, `tokenizer` (SHA-256) and `revision`."""
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Task → `SPLIT.LANGUAGE` → SHA-256 of its normalised rows."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """`DataRef.origin` → the commit that was read. No identity: the rows' hashes are."""

    def model_identity(self, model: ModelSpec) -> dict[str, Any]:
        """What the weights are. Before staging: where they will come from, so such steps are provisional."""
        locked = self.models.get(model.name)
        if locked is not None:
            return {"architecture": model.architecture, "weights": locked["weights"], "tokenizer": locked["tokenizer"]}
        return {
            "architecture": model.architecture,
            "provisional": [model.source, model.revision, model.keep_layers, model.trim_vocabulary],
        }

    def data_identity(self, task: TaskSpec, keys: list[str]) -> dict[str, Any]:
        """Hash by `SPLIT.LANGUAGE` for the keys that exist."""
        locked = self.data.get(task.name)
        if locked is not None:
            return {key: locked[key] for key in keys if key in locked}
        return {"provisional": task.name, "keys": keys}


def token_cache_name(task: TaskSpec, recipe: Recipe, data_hash: str, tokenizer: str) -> str:
    """Where the store keeps the token features of one `SPLIT.LANGUAGE`, by the SHA-256 of its rows and tokenizer."""
    identity = {
        "data": data_hash,
        "tokenizer": tokenizer,
        "kind": [task.kind, KIND_VERSIONS[task.kind]],
        "labels": list(task.labels),
        "length": recipe.max_length,
        "prefix": recipe.prefix,
    }
    return f"tokens/{fingerprint(identity)}.arrow"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One training, or one scoring of a checkpoint on a task: what is executed and cached."""

    id: str
    """Readable; ends in the fingerprint. Also the step's folder in the store."""
    fingerprint: str
    identity: Mapping[str, Any]
    action: Literal["train", "eval"]
    phase: Phase
    model: str
    arm: str
    task: str
    seed: int | None
    """None for scoring weights that were never trained."""
    parent: str | None
    """Step whose weights this one starts from; None: the pretrained model."""
    recipe: Recipe


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The unit that a reader of the report thinks in."""

    model: str
    arm: str
    target: str
    seed: int
    intermediate: tuple[str, ...]
    """Ids of the phase-ii trainings."""
    trained: tuple[str, ...]
    """Ids of the phase-iii trainings."""
    scored: str
    """Id of the eval step."""
    same_data: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    study: Study
    lock: Lock
    cells: tuple[Cell, ...]
    steps: Mapping[str, Step]
    """By id, parents first."""

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        below: dict[str, list[str]] = {step: [] for step in self.steps}
        for step in self.steps.values():
            if step.parent is not None:
                below[step.parent].append(step.id)
        return below

    def children_of(self, step: str) -> list[str]:
        """The steps that start from this one's weights."""
        return self._children[step]

    @property
    def provisional(self) -> bool:
        """Whether some hash is still unknown, because the study was not staged."""
        return any("provisional" in str(step.identity) for step in self.steps.values())


# Execution and book-keeping stay out; so does every field that equals its default when it is encoded.
def _recipe_identity(recipe: Recipe, fields: set[str]) -> dict[str, Any]:
    return recipe.model_dump(include=fields, exclude_defaults=True)


_TRAIN_FIELDS = set(Recipe.model_fields) - {"pool_depth"}
_EVAL_FIELDS = {"max_length", "precision", "prefix", "pooling"}


def _training_data(study: Study, tasks: Iterable[str]) -> set[tuple[str, ...]]:
    """Sources that the tasks train on: the same text under two names (SQuAD for LAReQA) is the same data."""
    return {
        (name,) if ref.source.startswith("package:") else (ref.source, *ref.files.get("train", ()))
        for name in tasks
        for ref in study.task(name).data
    }


def _depth_of(task: TaskSpec) -> set[str]:
    return {"pool_depth"} if task.kind == "retrieval" else set()


class _Builder:
    def __init__(self, study: Study, lock: Lock) -> None:
        self.study, self.lock = study, lock
        self.steps: dict[str, Step] = {}
        self._by_fingerprint: dict[str, str] = {}

    def _add(self, prefix: str, identity: dict[str, Any], **fields: Any) -> str:
        key = fingerprint(identity)
        # Two cells may reach one step along different arms: the first to name it gives the readable part.
        known = self._by_fingerprint.get(key)
        if known is None:
            known = self._by_fingerprint[key] = f"{prefix}.{key}"
            self.steps[known] = Step(id=known, fingerprint=key, identity=identity, **fields)
        return known

    def _parent_identity(self, model: ModelSpec, parent: str | None) -> Any:
        return self.lock.model_identity(model) if parent is None else self.steps[parent].fingerprint

    def train(self, model: ModelSpec, arm: Arm, task: str, seed: int, parent: str | None, phase: Phase) -> str:
        spec, recipe = self.study.task(task), self.study.recipe(task)
        identity = {
            "action": "train",
            "parent": self._parent_identity(model, parent),
            "kind": [spec.kind, KIND_VERSIONS[spec.kind]],
            "labels": list(spec.labels),
            # The dev score by which a run counts as collapsed is part of the record.
            "metric": spec.metric,
            "data": self.lock.data_identity(spec, ["train.en", "dev.en"]),
            "recipe": _recipe_identity(recipe, _TRAIN_FIELDS | _depth_of(spec)),
            "seed": seed,
        }
        label = task if phase == "ii" else f"{arm.name}-{task}"
        return self._add(
            f"{phase}.{model.name}.{label}.s{seed}", identity, action="train", phase=phase, model=model.name,
            arm=arm.name, task=task, seed=seed, parent=parent, recipe=recipe,
        )  # fmt: skip

    def eval(self, model: ModelSpec, arm: Arm, target: str, seed: int, parent: str | None) -> str:
        spec, recipe = self.study.task(target), self.study.recipe(target)
        keys = ["dev.en", "test.en", *(f"test.{code}" for code in self.study.test_languages(target))]
        identity = {
            "action": "eval",
            "parent": self._parent_identity(model, parent),
            "kind": [spec.kind, KIND_VERSIONS[spec.kind]],
            "labels": list(spec.labels),
            "metric": spec.metric,
            "data": self.lock.data_identity(spec, sorted(set(keys))),
            "recipe": _recipe_identity(recipe, _EVAL_FIELDS | _depth_of(spec)),
        }
        own_seed = self.steps[parent].seed if parent is not None else None
        suffix = "" if own_seed is None else f".s{seed}"
        return self._add(
            f"eval.{model.name}.{arm.name}-{target}{suffix}", identity, action="eval", phase="eval", model=model.name,
            arm=arm.name, task=target, seed=own_seed, parent=parent, recipe=recipe,
        )  # fmt: skip

    def cell(self, model: ModelSpec, arm: Arm, target: str, seed: int) -> Cell:
        shared = self.study.intermediate_seed
        parent: str | None = None
        intermediate, trained = [], []
        for task in arm.train_on:
            parent = self.train(model, arm, task, seed if shared == "per_seed" else int(shared), parent, "ii")
            intermediate.append(parent)
        trains_on = self.study.task(target).trains_on
        for task in trains_on:
            parent = self.train(model, arm, task, seed, parent, "iii")
            trained.append(parent)
        return Cell(
            model=model.name, arm=arm.name, target=target, seed=seed, intermediate=tuple(intermediate),
            trained=tuple(trained), scored=self.eval(model, arm, target, seed, parent),
            same_data=bool(_training_data(self.study, arm.train_on) & _training_data(self.study, trains_on)),
        )  # fmt: skip


def cells_of(study: Study) -> Iterator[tuple[str, Arm, str, int]]:
    """(model, arm, target, seed) of every cell: small models first, whole arms together."""
    for seed in study.seeds:
        for model in study.models:
            for arm in study.arms:
                for target in study.targets:
                    yield model, arm, target, seed


def make_plan(study: Study, lock: Lock | None = None) -> Plan:
    """Every cell of the study and the unique steps behind them. No torch, no files, no network."""
    builder = _Builder(study, lock or Lock())
    cells = tuple(builder.cell(study.model(model), arm, target, seed) for model, arm, target, seed in cells_of(study))
    return Plan(study=study, lock=builder.lock, cells=cells, steps=builder.steps)
