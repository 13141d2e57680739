"""A study: one YAML file, validated whole before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from scaling.catalogue import TASKS
from scaling.catalogue.hardware import Placement, get_gpu
from scaling.catalogue.languages import get_language
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.catalogue.task import Split, TaskSpec, check_pairs
from scaling.spec import BadFile, FieldError, Name, Spec, UserError, did_you_mean, known, load
from scaling.study.arms import Arm, check_arm
from scaling.study.lora import Lora, Method, check_targets
from scaling.study.question import Question
from scaling.study.recipes import Protocol, Recipe, recipe_for, recipe_sources

STUDIES = Path(__file__).parents[1] / "catalogue" / "studies"


def _arm(value: Any) -> Any:
    """`none` and a task's name are short for the arm of that name."""
    if isinstance(value, str):
        return {"name": value, "train_on": () if value == "none" else (value,)}
    return value


class Definitions(Spec):
    """Models and tasks of this study alone."""

    models: tuple[ModelSpec, ...] = ()
    tasks: tuple[TaskSpec, ...] = ()
    tables: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Transliteration: name → (text → text), longest match first."""


class Study(Spec):
    name: Name
    title: str = ""
    """Headline of the report."""
    notes: tuple[str, ...] = ()
    """Caveats that the report prints before any number."""
    models: tuple[str, ...] = Field(min_length=1)
    arms: tuple[Annotated[Arm, BeforeValidator(_arm)], ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    languages: tuple[str, ...] | None = None
    """Only these of the targets' languages; all of them if absent."""
    seeds: tuple[int, ...] = Field(min_length=1)
    intermediate_seed: Literal["per_seed"] | int = "per_seed"
    """`per_seed` runs phase ii once per seed. A number shares that one run: results are then
    conditional on it.
    """
    limits: dict[Split, int] = Field(default_factory=dict)
    """Most examples per language and split; a seeded sample. Absent: everything."""
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Recipe fields by task; `default` is for all tasks. Never by model: a recipe is equal at all
    sizes.
    """
    protocol: Protocol = "xtreme"
    """Whose published numbers the recipes start from: XTREME's scripts, or Phang et al. 2020
    (jiant's scripts).
    """
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """A check instead of the study: every task that trains, from the pretrained weights, at each of
    these rates, at every size and seed; judged on English dev data, nothing else is read or scored.
    `scaling rates` shows it."""
    method: Method = "full"
    """How every training of the study is done: `full`, or `lora`. Part of a step's identity; never
    mixed in a curve.
    """
    lora: Lora = Lora()
    reruns: int = Field(default=2, ge=0, le=2)
    """How often a training that collapsed (by English dev data alone) is run again with a new seed;
    both rows stay.
    """
    question: Question = Question()
    placement: dict[str, Placement] = Field(default_factory=dict)
    """By model, or `default`. Changes no number."""
    gpu: str | None = None
    """The GPU that plans and automatic placements are made for."""
    max_devices: int = Field(default=0, ge=0)
    """GPUs (or CPU workers) used at once; 0 for all that the cluster may have."""
    keep_weights: Literal["none", "intermediate", "all"] = "none"
    """Which trained weights stay in the store once nothing pending needs them."""
    budget_dollars: float | None = Field(default=None, gt=0)
    """Stop starting sessions at this sum, earlier runs included; what runs is never stopped."""
    dollars_per_device_hour: float | None = Field(default=None, gt=0)
    """What you pay; the assumption in `scaling/catalogue/hardware.py` for `gpu` if absent."""
    define: Definitions = Definitions()

    @model_validator(mode="after")
    def _check(self) -> Study:
        models, tasks = self.all_models, self.all_tasks
        for what, names, valid in (
            ("model", self.models, models),
            ("target task", self.targets, tasks),
            ("task", [name for name in self.recipes if name != "default"], tasks),
            ("model", [name for name in self.placement if name != "default"], self.models),
        ):
            _unique(what, names)
            for name in names:
                if what == "task" and name in models:
                    raise UserError(
                        f"recipes are by task, and {name!r} is a model: a recipe is equal at all"
                        " sizes, or the curve would measure it (docs/recipes.md)"
                    )
                known(what, name, valid)
        _unique("arm", [arm.name for arm in self.arms])
        check_targets(self.lora)
        if self.method == "full" and self.lora != Lora():
            raise FieldError(("lora",), "belongs to method: lora")
        for at, arm in enumerate(self.arms):
            try:
                check_arm(
                    arm, {other.name: other for other in self.arms}, tasks, self.define.tables
                )
                self._check_arm(arm)
            except FieldError as error:
                raise FieldError(("arms", at, *error.path), str(error)) from error
        if "none" not in [arm.name for arm in self.arms]:
            raise UserError("arms need 'none': a gain is a difference to it")
        _unique("seed", self.seeds)
        _unique("learning rate", self.learning_rates)
        if self.learning_rates and not self.trained_tasks:
            raise UserError("learning_rates, but nothing trains")
        for target in self.targets:
            for name in tasks[target].trains_on:
                known(f"training task of {target}", name, tasks)
        for code in self.languages or ():
            get_language(code)
        covered = {code for target in self.targets for code in tasks[target].languages}
        for code in self.languages or ():
            if code not in covered:
                raise UserError(
                    f"no target has the language {code!r}; they have {' '.join(sorted(covered))}"
                )
        families = {models[name].family for name in self.models}
        if len(families) > 1:
            raise UserError(
                f"one curve holds one family of models, these are {len(families)}:"
                f" {sorted(families)}"
            )
        if (
            self.budget_dollars is not None
            and self.gpu is None
            and self.dollars_per_device_hour is None
        ):
            raise UserError(
                "budget_dollars needs a price: name a `gpu`, or give dollars_per_device_hour"
            )
        # DeepSpeed's stage 0 takes an extra zero-gradient Adam step under bf16: other numbers than
        # stages 1 to 3.
        stage_zero = [
            model for model in self.models if (p := self.placement_of(model)) and p.zero_stage == 0
        ]
        trained = {
            (name, self.recipe(name)) for target in self.targets for name in tasks[target].trains_on
        }
        trained |= {(name, self.arm_recipe(arm, name)) for arm in self.arms for name in arm.tasks}
        scored = {(target, self.recipe(target)) for target in self.targets}
        for name, recipe in sorted(trained | scored, key=lambda one: (one[1].batch, one[0])):
            if stage_zero and recipe.precision == "bf16":
                raise UserError(
                    f"{stage_zero[0]} has ZeRO stage 0, which under bf16 trains differently; use 1,"
                    " 2 or 3"
                )
            for model in self.models:
                placement = self.placement_of(model)
                if placement is not None:
                    placement.share(recipe.batch)
                if tasks[name].kind == "retrieval" and (name, recipe) in trained:
                    check_pairs(name, recipe.batch, placement.workers if placement else 1)
        return self

    @property
    def adapters(self) -> Lora | None:
        """Of a study with LoRA."""
        return self.lora if self.method == "lora" else None

    @property
    def method_label(self) -> str:
        """What rows call the method: two of them never share a curve."""
        return self.lora.label if self.method == "lora" else self.method

    def _check_arm(self, arm: Arm) -> None:
        if arm.new_pieces and self.method == "lora":
            raise FieldError(
                ("new_pieces",), "LoRA freezes the embeddings: new rows would never be trained"
            )
        known_fields = Recipe.model_fields
        for name in arm.recipe:
            if name not in known_fields:
                raise FieldError(
                    ("recipe", name), f"is no field of a recipe. {did_you_mean(name, known_fields)}"
                )
        try:
            Recipe.model_validate(arm.recipe)
        except ValidationError as error:
            first = error.errors()[0]
            raise FieldError(("recipe", *first["loc"]), first["msg"]) from error
        for target in self.targets:
            if self.task(target).kind == "span_qa" and set(arm.transliterate) & set(
                self.test_languages(target)
            ):
                raise FieldError(
                    ("transliterate",),
                    f"would move the answers of {target}, which lie at characters",
                )

    @property
    def all_models(self) -> dict[str, ModelSpec]:
        return {**MODELS, **{model.name: model for model in self.define.models}}

    @property
    def all_tasks(self) -> dict[str, TaskSpec]:
        return {**TASKS, **{task.name: task for task in self.define.tasks}}

    def model(self, name: str) -> ModelSpec:
        return self.all_models[name]

    def task(self, name: str) -> TaskSpec:
        return self.all_tasks[name]

    def arm_recipe(self, arm: Arm, task: str) -> Recipe:
        """The recipe of a task in phase ii of an arm."""
        return Recipe(**{**self.recipe(task).model_dump(), **arm.recipe})

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def table(self, name: str) -> dict[str, str]:
        """A transliteration table."""
        return self.define.tables[name]

    def tables_of(self, language: str) -> list[dict[str, str]]:
        """The tables that some arm applies to a language's text."""
        return [
            self.table(arm.transliterate[language])
            for arm in self.arms
            if language in arm.transliterate
        ]

    def recipe(self, task: str) -> Recipe:
        return recipe_for(
            self.task(task),
            self.recipes.get("default", {}),
            self.recipes.get(task, {}),
            self.protocol,
        )

    def recipe_sources(self, task: str) -> dict[str, str]:
        """Field → where its number comes from."""
        return recipe_sources(
            self.task(task),
            self.recipes.get("default", {}),
            self.recipes.get(task, {}),
            self.protocol,
        )

    def at_rate(self, rate: float) -> Study:
        """This study with one learning rate for every task."""
        recipes = {
            name: {**self.recipes.get(name, {}), "learning_rate": rate}
            for name in self.trained_tasks
        }
        return self.model_copy(update={"recipes": {**self.recipes, **recipes}})

    def keeps_weights(self, phase: str) -> bool:
        """Whether trained weights of a phase stay when nothing starts from them any more."""
        return self.keep_weights == "all" or (self.keep_weights == "intermediate" and phase == "ii")

    def placement_of(self, model: str) -> Placement | None:
        """What the file says for this model; None leaves it to the planner."""
        return self.placement.get(model, self.placement.get("default"))

    def test_languages(self, task: str) -> tuple[str, ...]:
        """Languages that are scored, English first where the task has it."""
        wanted = self.task(task).languages
        if self.languages is not None:
            wanted = tuple(code for code in wanted if code in self.languages or code == "en")
        return tuple(sorted(wanted, key=lambda code: (code != "en", code)))

    @property
    def used_tasks(self) -> tuple[str, ...]:
        """Every task whose data is needed, for training or for scoring."""
        if self.learning_rates:
            return self.trained_tasks
        names = [name for arm in self.arms for name in arm.tasks]
        for target in self.targets:
            names += [*self.task(target).trains_on, target]
        return tuple(dict.fromkeys(names))

    @property
    def trained_tasks(self) -> tuple[str, ...]:
        """Every task that some arm or target trains on and that has English dev data."""
        names = [name for arm in self.arms for name in arm.tasks]
        names += [name for target in self.targets for name in self.task(target).trains_on]
        return tuple(name for name in dict.fromkeys(names) if self.task(name).has_dev)


def _unique(what: str, names: Iterable[Any]) -> None:
    names = list(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{what} {', '.join(map(repr, twice))} is there twice")


def load_study(path: str | Path) -> Study:
    """The study in a YAML file, or a named one (`demo`, `xtreme_r`); BadFile with file, line, field
    and a hint.
    """
    candidate = Path(path)
    if not candidate.suffix and not candidate.exists() and (STUDIES / f"{path}.yaml").is_file():
        candidate = STUDIES / f"{path}.yaml"
    if not candidate.suffix and not candidate.exists():
        names = sorted(item.stem for item in STUDIES.glob("*.yaml"))
        raise BadFile(
            f"{path}: no such file, and no named study; the named ones are {', '.join(names)}"
        )
    return load(Study, candidate)[0]


def price_of(study: Study) -> float | None:
    """Dollars per device and second; None if nothing says what a device costs."""
    if study.dollars_per_device_hour is not None:
        return study.dollars_per_device_hour / 3600
    return get_gpu(study.gpu).dollars_per_hour / 3600 if study.gpu else None
