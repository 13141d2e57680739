"""Study → cells → unique steps, parents first. Pure: the same study, the same steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import DEV, KIND_VERSIONS, Key, TaskSpec
from scaling.study.arms import Arm
from scaling.study.identity import Lock, fingerprint, staged_name
from scaling.study.mixture import Member, Mixture, add_target, mixtures
from scaling.study.recipes import Recipe
from scaling.study.steps import Cell, Phase, Plan, Step
from scaling.study.study import Study

# Raised when the same recipe, data and seed come to draw other batches (scaling/data/order.py).
# 2: pools of 50. 3: at random, whatever the lengths.
ORDER_VERSION = 3


# Execution and book-keeping stay out; so does every field that equals its default when it is
# encoded.
def _recipe_identity(recipe: Recipe, fields: set[str]) -> dict[str, Any]:
    return recipe.model_dump(include=fields, exclude_defaults=True)


_TRAIN_FIELDS = set(Recipe.model_fields) - {"pool_depth"}


_EVAL_FIELDS = {"max_length", "precision", "prefix", "pooling"}


# What a member of a mixture keeps of its own task's recipe: how its text is read and its head is
# built.
TEXT_FIELDS = {"max_length", "prefix", "pooling"}


def _training_data(study: Study, tasks: Iterable[str]) -> set[tuple[str, ...]]:
    """Sources that the tasks train on, by where they lie: SQuAD has two names, and is one."""
    return {
        (name,) if ref.source.startswith("package:") else (ref.source, *ref.files.get("train", ()))
        for name in tasks
        for ref in study.task(name).data
    }


def _depth_of(task: TaskSpec) -> set[str]:
    return {"pool_depth"} if task.kind == "retrieval" else set()


class _Builder:
    def __init__(self, study: Study, lock: Lock, collapsed: frozenset[str]) -> None:
        self.study, self.lock, self.collapsed = study, lock, collapsed
        self.steps: dict[str, Step] = {}
        self.replaceable: set[str] = set()
        self.final: set[str] = set()
        self._by_fingerprint: dict[str, str] = {}

    def _add(self, prefix: str, identity: dict[str, Any], **fields: Any) -> str:
        key = fingerprint(identity)
        # Two cells may reach one step along different arms: the first to name it gives the readable
        # part.
        known = self._by_fingerprint.get(key)
        if known is None:
            known = self._by_fingerprint[key] = f"{prefix}.{key}"
            self.steps[known] = Step(id=known, fingerprint=key, identity=identity, **fields)
        return known

    def _parent_identity(self, model: ModelSpec, arm: Arm, seed: int, parent: str | None) -> Any:
        if parent is not None:
            return self.steps[parent].fingerprint
        random = {"random_init": seed} if arm.control == "random-init" else {}
        return {**self.lock.model_identity(model, arm), **random}

    def _start(self, model: ModelSpec, arm: Arm, seed: int, parent: str | None) -> dict[str, Any]:
        """Fields of a step that say what it starts from and how it reads text."""
        random = seed if arm.control == "random-init" and parent is None else None
        return {
            "model": model.name,
            "arm": arm.name,
            "parent": parent,
            "staged": staged_name(model.name, arm),
            "random_init": random,
            "transliterate": arm.transliterate,
        }

    def _tables(self, arm: Arm, languages: Iterable[str]) -> dict[str, Any]:
        used = {
            code: self.study.table(arm.transliterate[code])
            for code in languages
            if code in arm.transliterate
        }
        return (
            {"transliterated": {code: fingerprint(dict(table)) for code, table in used.items()}}
            if used
            else {}
        )

    def _member_identity(self, member: Member, arm: Arm) -> dict[str, Any]:
        task = self.study.task(member.task)
        keys = [Key("train", code) for code in member.languages]
        several = {"exponent": member.exponent} if len(member.languages) > 1 else {}
        return {
            "kind": [task.kind, KIND_VERSIONS[task.kind]],
            "labels": list(task.labels),
            # The dev score by which a run counts as collapsed is part of the record.
            "metric": task.metric,
            "data": self.lock.data_identity(task, [*keys, *([DEV] if task.has_dev else [])]),
            **several,
            **({"shuffled_labels": True} if member.shuffled_labels else {}),
            **self._tables(arm, member.languages),
        }

    def _mixture_identity(self, mixture: Mixture, arm: Arm, recipe: Recipe) -> dict[str, Any]:
        """Of one member its fields; of several the members, their draw and own recipe fields."""
        if len(mixture.members) == 1:
            (member,) = mixture.members
            depth = _depth_of(self.study.task(member.task))
            return {
                **self._member_identity(member, arm),
                "recipe": _recipe_identity(recipe, _TRAIN_FIELDS | depth),
            }
        members = []
        for member in mixture.members:
            own = TEXT_FIELDS | _depth_of(self.study.task(member.task))
            recipe_of = _recipe_identity(self.study.recipe(member.task), own)
            members.append({**self._member_identity(member, arm), "recipe": recipe_of})
        # Whether the first two or more are tasks decides if the sampling matters at all.
        tasks = len(mixture.members) - (mixture.mlm_ratio is not None)
        drawn = {"sampling": mixture.sampling.model_dump()} if tasks > 1 else {}
        return {
            "members": members,
            **drawn,
            **({} if mixture.mlm_ratio is None else {"mlm_ratio": mixture.mlm_ratio}),
            "recipe": _recipe_identity(recipe, _TRAIN_FIELDS - TEXT_FIELDS),
        }

    def runs(
        self,
        model: ModelSpec,
        arm: Arm,
        mixture: Mixture,
        seed: int,
        parent: str | None,
        phase: Phase,
        *,
        most: int | None,
        like: tuple[str, ...] = (),
    ) -> list[str]:
        """A training and its re-runs, at most so many, as far as those before them are known to
        have collapsed.

        `most` of None asks for the first run alone and says nothing about what may replace it.
        """
        runs = [self.train(model, arm, mixture, seed, parent, phase, like=like)]
        if most is None:
            return runs
        while runs[-1] in self.collapsed and len(runs) <= most:
            runs.append(
                self.train(model, arm, mixture, seed, parent, phase, like=like, rerun=len(runs))
            )
        (self.replaceable if len(runs) <= most else self.final).add(runs[-1])
        return runs

    def train(
        self,
        model: ModelSpec,
        arm: Arm,
        mixture: Mixture,
        seed: int,
        parent: str | None,
        phase: Phase,
        *,
        like: tuple[str, ...] = (),
        rerun: int = 0,
    ) -> str:
        first = mixture.members[0].task
        recipe = (
            self.study.recipe(first)
            if phase == "iii" or like
            else self.study.arm_recipe(arm, first)
        )
        adapters = self.study.adapters
        identity = {
            "action": "train",
            "order": ORDER_VERSION,
            "parent": self._parent_identity(model, arm, seed, parent),
            **self._mixture_identity(mixture, arm, recipe),
            **({"updates_like": [self.steps[step].fingerprint for step in like]} if like else {}),
            **({"lora": adapters.model_dump()} if adapters is not None else {}),
            "seed": [seed, rerun] if rerun else seed,
        }
        task = "+".join(member.task for member in mixture.members)
        plain = phase == "ii" and mixture == Mixture(members=(Member(task=first),)) and not like
        label = task if plain else arm.name if phase == "ii" else f"{arm.name}-{task}"
        again = f"r{rerun}" if rerun else ""
        return self._add(
            f"{phase}.{model.name}.{label}.s{seed}{again}",
            identity,
            action="train",
            phase=phase,
            task=first,
            seed=seed,
            rerun=rerun,
            recipe=recipe,
            mixture=mixture,
            updates_like=like,
            **self._start(model, arm, seed, parent),
        )

    def eval(self, model: ModelSpec, arm: Arm, target: str, seed: int, parent: str | None) -> str:
        task, recipe = self.study.task(target), self.study.recipe(target)
        languages = self.study.test_languages(target)
        keys = {DEV, *(Key("test", code) for code in ("en", *languages))}
        identity = {
            "action": "eval",
            "parent": self._parent_identity(model, arm, seed, parent),
            "kind": [task.kind, KIND_VERSIONS[task.kind]],
            "labels": list(task.labels),
            "metric": task.metric,
            "data": self.lock.data_identity(task, sorted(keys)),
            "recipe": _recipe_identity(recipe, _EVAL_FIELDS | _depth_of(task)),
            **self._tables(arm, languages),
        }
        start = self._start(model, arm, seed, parent)
        own_seed = self.steps[parent].seed if parent is not None else start["random_init"]
        again = self.steps[parent].rerun if parent is not None else 0
        suffix = "" if own_seed is None else f".s{seed}{f'r{again}' if again else ''}"
        return self._add(
            f"eval.{model.name}.{arm.name}-{target}{suffix}",
            identity,
            action="eval",
            phase="eval",
            task=target,
            seed=own_seed,
            rerun=again,
            recipe=recipe,
            mixture=Mixture(members=(Member(task=target),)),
            **start,
        )

    def intermediate(
        self, model: ModelSpec, arm: Arm, target: str, seed: int, most: int | None
    ) -> list[list[str]]:
        """Phase ii of an arm: its trainings in order, each with at most so many re-runs; the last
        starts the next.
        """
        steps: list[list[str]] = []
        for mixture in mixtures(arm, self.study.all_tasks):
            steps.append(
                self.runs(
                    model, arm, mixture, seed, steps[-1][-1] if steps else None, "ii", most=most
                )
            )
        own = self.study.task(target).trains_on
        if arm.like is not None and own:
            # First runs: how many updates an arm takes does not hang on what collapsed.
            first = [
                runs[0]
                for runs in self.intermediate(model, self.study.arm(arm.like), target, seed, None)
            ]
            mixture = Mixture(members=(Member(task=own[-1]),))
            steps.append(
                self.runs(model, arm, mixture, seed, None, "ii", most=most, like=tuple(first))
            )
        return steps

    def cells(self, model: ModelSpec, arm: Arm, target: str, seed: int) -> Iterator[Cell]:
        """A cell, and once more for every re-run of the training that is scored.

        What starts from a training starts from its last re-run: a collapsed phase ii would spoil
        all that follows.
        """
        shared = self.study.intermediate_seed
        first_seed = seed if shared == "per_seed" else int(shared)
        # Chance is what some controls are made to end at.
        most = self.study.reruns if arm.control is None else 0
        trains_on = self.study.task(target).trains_on
        together = arm.with_target and bool(trains_on)
        # A target that nothing is trained for has no phase iii to join: phase ii is then the arm's
        # tasks alone.
        alone = arm.model_copy(update={"with_target": together})
        chain = self.intermediate(model, alone, target, first_seed, most)
        num_intermediate = len(chain)
        steps = [Mixture(members=(Member(task=task),)) for task in trains_on]
        for mixture in [add_target(arm, trains_on, self.study.all_tasks)] if together else steps:
            chain.append(
                self.runs(
                    model, arm, mixture, seed, chain[-1][-1] if chain else None, "iii", most=most
                )
            )
        matched = trains_on if arm.like is not None else arm.intermediate
        above = [runs[-1] for runs in chain[:-1]]
        for run in chain[-1] if chain else [None]:
            used = [*above, run] if run is not None else []
            yield Cell(
                model=model.name,
                arm=arm.name,
                target=target,
                seed=seed,
                intermediate=tuple(used[:num_intermediate]),
                trained=tuple(used[num_intermediate:]),
                scored=self.eval(model, arm, target, seed, run),
                rerun=sum(self.steps[step].rerun for step in used),
                same_data=bool(
                    _training_data(self.study, matched) & _training_data(self.study, trains_on)
                ),
            )


def cells_of(study: Study) -> Iterator[tuple[str, Arm, str, int]]:
    """(model, arm, target, seed) of every cell: small models first, whole arms together."""
    for seed in study.all_seeds:
        for model in study.models:
            if seed not in study.seeds_of(model):
                continue
            for arm in study.arms:
                for target in study.targets:
                    yield model, arm, target, seed


def make_plan(
    study: Study, lock: Lock | None = None, collapsed: frozenset[str] = frozenset()
) -> Plan:
    """Every cell of the study and the unique steps behind them, re-runs of the collapsed included.

    No torch, no files, no network.
    """
    if study.learning_rates:
        return _rate_plan(study, lock or Lock(), collapsed)
    builder = _Builder(study, lock or Lock(), collapsed)
    cells = tuple(
        cell
        for model, arm, target, seed in cells_of(study)
        for cell in builder.cells(study.model(model), arm, target, seed)
    )
    return Plan(
        study=study,
        lock=builder.lock,
        cells=cells,
        steps=builder.steps,
        collapsed=collapsed,
        replaceable=frozenset(builder.replaceable - builder.final),
    )


def _rate_plan(study: Study, lock: Lock, collapsed: frozenset[str]) -> Plan:
    """The trainings of a check of learning rates: as many at each size; no cell, no re-run."""
    builder = _Builder(study, lock, collapsed)
    none = next(arm for arm in study.arms if arm.name == "none")
    for rate in study.learning_rates:
        builder.study = study.at_rate(rate)
        for seed in study.all_seeds:
            for model in study.models:
                for task in study.trained_tasks:
                    alone = Mixture(members=(Member(task=task),))
                    builder.train(study.model(model), none, alone, seed, None, "iii")
    return Plan(study=study, lock=lock, cells=(), steps=builder.steps, collapsed=collapsed)
