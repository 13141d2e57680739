"""A study: one YAML file, validated whole before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Tag,
    ValidationError,
    model_validator,
)

from scaling.catalogue import TASKS
from scaling.catalogue.architectures import Architecture
from scaling.catalogue.definition import check_training
from scaling.catalogue.hardware import GPUS, Placement, get_gpu
from scaling.catalogue.languages import LANGUAGES, Language, defined, is_language
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.catalogue.task import DEV, Key, Split, TaskSpec, check_pairs, refs_of
from scaling.spec import BadFile, FieldError, Name, Spec, UserError, known, load
from scaling.study.arms import Arm, check_arm
from scaling.study.lora import Lora, Method, check_targets
from scaling.study.mixture import mixtures, train_languages
from scaling.study.question import Question
from scaling.study.recipes import Protocol, Recipe, recipe_for, recipe_sources
from scaling.typos import did_you_mean, faults_of

# Re-runs add a million to a seed each (steps.RERUN_SEEDS): no seed of a study counts so far.
Seed = Annotated[int, Field(ge=0, lt=1_000_000)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]
MOST_DEVICES = 100_000
STUDIES = Path(__file__).parents[1] / "catalogue" / "studies"


def _way(value: Any) -> str:
    """How seeds are written down."""
    return "[by size]" if isinstance(value, dict) else "[list]"


def _arm(value: Any) -> Any:
    """`none` and a task's name are short for the arm of that name."""
    if isinstance(value, str):
        return {"name": value, "train_on": () if value == "none" else (value,)}
    return value


class Definitions(Spec):
    """Languages, models and tasks of this study alone."""

    languages: tuple[Language, ...] = ()
    """That the table does not know. What is left out is unknown, and the report says what it cannot
    tell then."""
    models: tuple[ModelSpec, ...] = ()
    tasks: tuple[TaskSpec, ...] = ()
    tables: dict[Name, Annotated[dict[str, str], Field(min_length=1)]] = Field(default_factory=dict)
    """Transliteration: name → (text → text), longest match first."""
    replaces: tuple[str, ...] = ()
    """Names of the catalogue that are defined anew here, on purpose."""

    @model_validator(mode="after")
    def _check(self) -> Definitions:
        own = (*(model.name for model in self.models), *(task.name for task in self.tasks))
        anew = [name for name in own if name in MODELS or name in TASKS]
        for at, name in enumerate(self.replaces):
            if name not in anew:
                raise FieldError(
                    ("replaces", at),
                    f"{name!r} is not defined here, or nowhere else. {did_you_mean(name, anew)}",
                    name,
                    anew,
                )
        for field, catalogue in (("models", MODELS), ("tasks", TASKS)):
            items: tuple[ModelSpec | TaskSpec, ...] = getattr(self, field)
            names = [item.name for item in items]
            for at, name in enumerate(names):
                if name in names[:at]:
                    raise FieldError((field, at, "name"), f"{name!r} is there twice")
                if name in catalogue and name not in self.replaces:
                    raise FieldError(
                        (field, at, "name"),
                        f"{name!r} is in the catalogue: take another name, or say so with"
                        f" `replaces: [{name}]`",
                    )
        codes = [language.code for language in self.languages]
        for at, code in enumerate(codes):
            if code in LANGUAGES or code in codes[:at]:
                where = "in the table of languages" if code in LANGUAGES else "there twice"
                raise FieldError(("languages", at, "code"), f"{code!r} is {where}")
        for table, pairs in self.tables.items():
            if "" in pairs:
                raise FieldError(("tables", table), "replaces the empty text")
        return self


class Study(Spec):
    """A study file: what is asked, and how it may be executed."""

    name: Name = Field(examples=["mine"])
    title: str = ""
    """Headline of the report."""
    notes: tuple[str, ...] = ()
    """Caveats that the report prints before any number."""
    models: tuple[str, ...] = Field(min_length=1, examples=[["xlm-r-base", "xlm-r-large"]])
    arms: tuple[Annotated[Arm, BeforeValidator(_arm)], ...] = Field(
        min_length=1, examples=[["none", "mnli"]]
    )
    targets: tuple[str, ...] = Field(min_length=1, examples=[["xnli", "panx"]])
    languages: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Only these of the targets' languages; all of them if absent."""
    seeds: Annotated[
        Annotated[Seeds, Tag("[list]")] | Annotated[dict[str, Seeds], Tag("[by size]")],
        Discriminator(_way),
    ] = Field(examples=[[0, 1, 2]])
    """One list for all sizes, or lists by model; `default` is for the others. Each is a replica of
    the whole pipeline."""
    intermediate_seed: Literal["per_seed"] | Seed = "per_seed"
    """`per_seed` runs phase ii once per seed. A number shares that one run: results are then
    conditional on it.
    """
    limits: dict[Split, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """Most examples per language and split; a seeded sample. Absent: everything."""
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Recipe fields by task; `default` is for all tasks. Never by model: a recipe is equal at all
    sizes.
    """
    protocol: Protocol = "ours"
    """What the recipes start from: `ours` (the numbers of XTREME's scripts, warmed up, the last
    weights), `xtreme` (its scripts as they are) or `phang2020` (jiant's scripts). What each does
    and does not follow is a table in docs/recipes.md.
    """
    learning_rates: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
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
    max_devices: int = Field(default=0, ge=0, le=MOST_DEVICES)
    """GPUs (or CPU workers) used at once; 0 for all that the cluster may have."""
    keep_weights: Literal["none", "intermediate", "all"] = "none"
    """Which trained weights stay in the store once nothing pending needs them."""
    budget_dollars: float | None = Field(default=None, gt=0, le=1e12)
    """Stop starting sessions at this sum, earlier runs included; what runs is never stopped."""
    dollars_per_device_hour: float | None = Field(default=None, gt=0, le=1e6)
    """What you pay; the assumption in `scaling/catalogue/hardware.py` for `gpu` if absent."""
    define: Definitions = Definitions()

    @model_validator(mode="wrap")
    @classmethod
    def _with_its_languages(cls, data: Any, handler: ModelWrapValidatorHandler[Study]) -> Study:
        """Tasks name languages that the same file defines further down."""
        with defined(_languages_of(data)):
            return handler(data)

    @model_validator(mode="after")
    def _check(self) -> Study:
        for rule in _RULES:
            rule(self)
        return self

    @property
    def adapters(self) -> Lora | None:
        """Of a study with LoRA, its targets said."""
        return self.lora.of(self.architecture) if self.method == "lora" else None

    @property
    def architecture(self) -> Architecture:
        """What the first model is. Where a family has several, they read text and adapt alike."""
        return self.model(self.models[0]).entry

    @property
    def text_family(self) -> str:
        """The family whose pretraining text counts for the study's question."""
        return self.question.text_of or self.model(self.models[0]).family

    @property
    def method_label(self) -> str:
        """What rows call the method: two of them never share a curve."""
        return self.lora.label if self.method == "lora" else self.method

    def splits_of(self, task: TaskSpec) -> list[Key]:
        """Every split of a language that the study reads of a task."""
        if self.learning_rates:
            return [Key("train", "en"), DEV]
        wanted: list[Key] = []
        languages = {
            code for arm in self.arms for code in train_languages(arm, task.name, self.all_tasks)
        }
        if task.name in {name for target in self.targets for name in self.task(target).trains_on}:
            languages.add("en")
        # English first: translations are checked against it, so it is read even where nothing
        # trains on it.
        if languages and task.has_dev:
            wanted += [Key("train", "en"), DEV]
        wanted += [Key("train", code) for code in sorted(languages - {"en"})]
        if task.name in self.targets:
            wanted += [Key("test", code) for code in self.test_languages(task.name)]
        return wanted

    def known_languages(self) -> AbstractContextManager[None]:
        """Within this, `get_language` knows the study's own languages too."""
        return defined(self.define.languages)

    @property
    def all_models(self) -> dict[str, ModelSpec]:
        """Every model by name, those that the study defines included."""
        return {**MODELS, **{model.name: model for model in self.define.models}}

    @property
    def all_tasks(self) -> dict[str, TaskSpec]:
        """Every task by name, those that the study defines included."""
        return {**TASKS, **{task.name: task for task in self.define.tasks}}

    def model(self, name: str) -> ModelSpec:
        """The model of this name; KeyError for an unknown one."""
        return self.all_models[name]

    def task(self, name: str) -> TaskSpec:
        """The task of this name; KeyError for an unknown one."""
        return self.all_tasks[name]

    def ceiling(self, task: str) -> float | None:
        """The best score that is attainable on a target, 0..1; None where none is declared.

        A ceiling is stated of the whole test set: the best of a sample may lie above it, so that
        none holds where `limits` has one for `test`.
        """
        return None if "test" in self.limits else self.task(task).ceiling

    def arm_recipe(self, arm: Arm, task: str) -> Recipe:
        """The recipe of a task in phase ii of an arm."""
        return Recipe(**{**self.recipe(task).model_dump(), **arm.recipe})

    def arm(self, name: str) -> Arm:
        """The arm of this name."""
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
        """The recipe of a task. Phase ii of an arm puts the arm's own fields over it."""
        return recipe_for(
            self.task(task),
            self.recipes.get("default", {}),
            self.recipes.get(task, {}),
            self.protocol,
            self.architecture,
            self.model(self.models[0]).family,
            self.method,
        )

    def recipe_sources(self, task: str) -> dict[str, str]:
        """Field → where its number comes from."""
        return recipe_sources(
            self.task(task),
            self.recipes.get("default", {}),
            self.recipes.get(task, {}),
            self.protocol,
            self.architecture,
            self.model(self.models[0]).family,
            self.method,
        )

    def at_rate(self, rate: float) -> Study:
        """This study with one learning rate for every task."""
        recipes = {
            name: {**self.recipes.get(name, {}), "learning_rate": rate}
            for name in self.trained_tasks
        }
        return self.model_copy(update={"recipes": {**self.recipes, **recipes}})

    def seeds_of(self, model: str) -> tuple[int, ...]:
        """The seeds of a model of the study."""
        if isinstance(self.seeds, tuple):
            return self.seeds
        return self.seeds[model if model in self.seeds else "default"]

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of any model, each once: those of the first model first."""
        every = (seed for model in self.models for seed in self.seeds_of(model))
        return tuple(dict.fromkeys(every))

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


def _languages_of(data: Any) -> list[Language]:
    """The languages that a study file defines; a faulty one is refused where it is checked."""
    if isinstance(data, Study):
        return [*data.define.languages]
    define = data.get("define") if isinstance(data, dict) else None
    if isinstance(define, Definitions):
        return [*define.languages]
    listed = define.get("languages") if isinstance(define, dict) else None
    found = []
    for item in listed if isinstance(listed, list | tuple) else ():
        with suppress(ValidationError):
            found.append(Language.model_validate(item))
    return found


def _check_recipe(path: tuple[str, ...], fields: dict[str, Any]) -> None:
    for name in fields:
        if name not in Recipe.model_fields:
            raise FieldError(
                (*path, name),
                f"is no field of a recipe. {did_you_mean(name, Recipe.model_fields)}",
                name,
                Recipe.model_fields,
            )
    try:
        Recipe.model_validate(fields)
    except ValidationError as error:
        first = faults_of(Recipe, error)[0]
        place = (*path, *first.place)
        raise FieldError(place, first.message, first.name, first.valid) from error


def _names_are_known(study: Study) -> None:
    models, tasks = study.all_models, study.all_tasks
    for at, name in enumerate(study.models):
        known("model", name, models, "models", ("models", at))
    for at, name in enumerate(study.targets):
        if not (name in tasks and tasks[name].languages):
            fits = [task.name for task in tasks.values() if task.languages]
            hint = did_you_mean(name, fits, "tasks")
            text = f"{name} has no test data. {hint}" if name in tasks else ""
            path = ("targets", at)
            raise FieldError(path, text or f"Unknown target task {name!r}. {hint}", name, fits)
    for name in study.recipes:
        if name in models:
            raise FieldError(
                ("recipes", name),
                f"recipes are by task, and {name!r} is a model: a recipe is equal at all"
                " sizes, or the curve would measure it (docs/recipes.md)",
            )
        known("task", name, [*tasks, "default"], "tasks", ("recipes", name))
    for name in study.placement:
        known("model", name, [*study.models, "default"], path=("placement", name))
    for name in study.seeds if isinstance(study.seeds, dict) else ():
        known("model", name, [*study.models, "default"], path=("seeds", name))
    if study.gpu is not None:
        known("GPU", study.gpu, GPUS, "gpus", ("gpu",))
    for at, own in enumerate(study.define.tasks):
        fits = [task.name for task in tasks.values() if task.can_train]
        for number, name in enumerate(own.train_on or ()):
            if name not in tasks:
                place = ("define", "tasks", at, "train_on", number)
                known("training task", name, fits, "tasks", place)


def _languages_are_known(study: Study) -> None:
    covered = {code for target in study.targets for code in study.task(target).languages}
    asked = study.question.low_resource_languages
    for path, codes in (
        (("languages",), study.languages or ()),
        (("question", "low_resource_languages"), asked or ()),
    ):
        for at, code in enumerate(codes):
            if not is_language(code):
                known("language", code, covered, "languages", (*path, at))


def _lora_fits_the_method(study: Study) -> None:
    for name in study.models:
        check_targets(study.lora, study.model(name).entry)
    if study.method == "full" and study.lora != Lora():
        raise FieldError(("lora",), "belongs to method: lora")


def _arms_make_sense(study: Study) -> None:
    arms = {arm.name: arm for arm in study.arms}
    scored = {code for target in study.targets for code in study.test_languages(target)}
    for at, arm in enumerate(study.arms):
        try:
            check_arm(arm, arms, study.all_tasks, study.define.tables, scored)
            _arm_fits_the_study(study, arm)
        except FieldError as error:
            raise error.below(("arms", at)) from error
    names = [arm.name for arm in study.arms]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise FieldError(("arms", at, "name"), f"arm {name!r} is there twice")


def _arm_fits_the_study(study: Study, arm: Arm) -> None:
    if arm.new_pieces and study.method == "lora":
        raise FieldError(
            ("new_pieces",), "LoRA freezes the embeddings: new rows would never be trained"
        )
    _check_recipe(("recipe",), arm.recipe)
    for target in study.targets:
        moved = set(arm.transliterate) & set(study.test_languages(target))
        if study.task(target).kind == "span_qa" and moved:
            raise FieldError(
                ("transliterate",), f"would move the answers of {target}, which lie at characters"
            )


def _there_is_a_baseline(study: Study) -> None:
    if "none" not in [arm.name for arm in study.arms]:
        raise FieldError(("arms",), "arms need 'none': a gain is a difference to it")


def _seeds_are_for_all(study: Study) -> None:
    if isinstance(study.seeds, tuple):
        return
    lacking = [name for name in study.models if name not in study.seeds]
    if lacking and "default" not in study.seeds:
        raise FieldError(
            ("seeds",),
            f"has no list for {', '.join(lacking)}; `default: [0, 1, 2]` is for the others",
        )
    if study.learning_rates and len({study.seeds_of(name) for name in study.models}) > 1:
        raise FieldError(
            ("seeds",), "learning rates are compared with equal seeds at all sizes; give one list"
        )


def _recipes_are_right(study: Study) -> None:
    for name, fields in study.recipes.items():
        _check_recipe(("recipes", name), fields)


def _rates_have_trainings(study: Study) -> None:
    if study.learning_rates and not study.trained_tasks:
        raise FieldError(("learning_rates",), "learning_rates, but nothing trains")


def _training_tasks_fit(study: Study) -> None:
    for at, target in enumerate(study.targets):
        check_training(("targets", at), study.task(target), study.all_tasks)


def _languages_are_covered(study: Study) -> None:
    covered = {code for target in study.targets for code in study.task(target).languages}
    for at, code in enumerate(study.languages or ()):
        if code not in covered:
            raise FieldError(
                ("languages", at),
                f"no target has the language {code!r}. {did_you_mean(code, covered, 'languages')}",
            )
    for at, target in enumerate(study.targets):
        if not study.test_languages(target):
            raise FieldError(("targets", at), f"{target} has none of the study's languages")


def _what_is_read_has_files(study: Study) -> None:
    own = [task.name for task in study.define.tasks]
    for name in study.used_tasks:
        task = study.task(name)
        path = ("define", "tasks", own.index(name)) if name in own else ()
        for split, language in study.splits_of(task):
            refs = refs_of(task, split, language)
            if not refs:
                raise FieldError(path, f"task {name} has no data to read")
            for at, ref in enumerate(refs):
                if not ref.source.startswith("package:") and split not in ref.files:
                    field = "data" if refs is task.data else "translations"
                    raise FieldError(
                        (*path, field, at, "files") if path else (),
                        f"task {name}: {split} of {language} is read, and {ref.source} has only"
                        f" {', '.join(ref.files)}",
                    )


def _texts_fit_the_positions(study: Study) -> None:
    for at, name in enumerate(study.models):
        model = study.model(name)
        most = model.entry.most_tokens(model.positions)
        if most is None:
            continue
        for task in study.used_tasks:
            if study.recipe(task).max_length > most:
                raise FieldError(
                    ("models", at),
                    f"{name} has {most} positions, and the recipe of {task} a max_length of"
                    f" {study.recipe(task).max_length}",
                )


def _models_are_one_family(study: Study) -> None:
    families = {study.model(name).family for name in study.models}
    if len(families) > 1:
        raise FieldError(
            ("models",),
            f"one curve holds one family of models, these are {len(families)}: {sorted(families)}",
        )


def _models_read_text_alike(study: Study) -> None:
    for at, name in enumerate(study.models):
        entry, first = study.model(name).entry, study.architecture
        if (entry.reading, entry.pooling) != (first.reading, first.pooling):
            raise FieldError(
                ("models", at),
                f"{name} is a {entry.name} and {study.models[0]} a {first.name}, which read text in"
                " other forms: no curve holds both",
            )


def _text_is_pooled_where_something_stands_for_it(study: Study) -> None:
    entry = study.architecture
    said = {"default": study.recipes.get("default", {}), **study.recipes}
    for name, fields in said.items():
        if fields.get("pooling") == "first" and entry.pooling != "first":
            raise FieldError(
                ("recipes", name, "pooling"),
                f"the first token of {entry.name} stands for no text: use {entry.pooling} or mean",
            )


def _language_models_have_a_head(study: Study) -> None:
    entry = study.architecture
    if entry.language_model == "masked":
        return
    for at, arm in enumerate(study.arms):
        for mixture in mixtures(arm, study.all_tasks):
            for member in mixture.members:
                if study.task(member.task).kind == "masked_lm":
                    raise FieldError(
                        ("arms", at),
                        f"arm {arm.name!r} trains a masked language model ({member.task}), and no"
                        f" {entry.name} was pretrained as one: its head would be another task under"
                        " an old name",
                    )
    for at, target in enumerate(study.targets):
        names = (target, *study.task(target).trains_on)
        if any(study.task(name).kind == "masked_lm" for name in names):
            raise FieldError(
                ("targets", at),
                f"{target} is masked language modelling, which no {entry.name} was pretrained for",
            )


def _packing_keeps_the_numbers(study: Study) -> None:
    for name in study.models:
        placement = study.placement_of(name)
        if placement is None or not placement.packed:
            continue
        for task in study.used_tasks:
            why = study.model(name).entry.why_not_packed(study.recipe(task).max_length)
            if why:
                raise FieldError(
                    (*_place(study, name), "packed"), f"{name} cannot pack {task}: {why}"
                )


def _a_budget_has_a_price(study: Study) -> None:
    priced = study.gpu is not None or study.dollars_per_device_hour is not None
    if study.budget_dollars is not None and not priced:
        raise FieldError(
            ("budget_dollars",), "needs a price: name a `gpu`, or give dollars_per_device_hour"
        )


def _placements_fit_the_recipes(study: Study) -> None:
    tasks, placements = study.all_tasks, {name: study.placement_of(name) for name in study.models}
    # DeepSpeed's stage 0 takes an extra zero-gradient Adam step under bf16: other numbers than
    # stages 1 to 3.
    stage_zero = [name for name, given in placements.items() if given and given.zero_stage == 0]
    trained = {
        (name, study.recipe(name)) for target in study.targets for name in tasks[target].trains_on
    }
    trained |= {(name, study.arm_recipe(arm, name)) for arm in study.arms for name in arm.tasks}
    scored = {(target, study.recipe(target)) for target in study.targets}
    for name, recipe in sorted(trained | scored, key=lambda pair: (pair[1].batch, pair[0])):
        if stage_zero and recipe.precision == "bf16":
            raise FieldError(
                _place(study, stage_zero[0]),
                f"{stage_zero[0]} has ZeRO stage 0, which under bf16 trains differently; use 1,"
                " 2 or 3",
            )
        for model, placement in placements.items():
            try:
                if placement is not None:
                    placement.share(recipe.batch)
            except UserError as error:
                raise FieldError(_place(study, model), str(error)) from error
        if tasks[name].kind == "retrieval" and (name, recipe) in trained:
            try:
                check_pairs(name, recipe.batch)
            except UserError as error:
                said = name if name in study.recipes else "default"
                raise FieldError(("recipes", said), str(error)) from error


def _place(study: Study, model: str) -> tuple[str, ...]:
    """Where the study's file says how steps of a model are laid out."""
    return ("placement", model if model in study.placement else "default")


_RULES: tuple[Callable[[Study], None], ...] = (
    _names_are_known,
    _languages_are_known,
    _seeds_are_for_all,
    _recipes_are_right,
    _arms_make_sense,
    _lora_fits_the_method,
    _there_is_a_baseline,
    _training_tasks_fit,
    _rates_have_trainings,
    _languages_are_covered,
    _what_is_read_has_files,
    _texts_fit_the_positions,
    _models_are_one_family,
    _models_read_text_alike,
    _text_is_pooled_where_something_stands_for_it,
    _language_models_have_a_head,
    _packing_keeps_the_numbers,
    _a_budget_has_a_price,
    _placements_fit_the_recipes,
)
"""What only the whole study can tell: names first, since the rest is looked up by them."""


def load_study(path: str | Path) -> Study:
    """The study in a YAML file, or a shipped one (`demo`, `xtreme_r`).

    BadFile with file, line, field and a hint.
    """
    candidate = Path(path)
    # A folder is no study: one that happens to be called `demo` does not hide the shipped one.
    if not candidate.suffix and not candidate.is_file():
        names = sorted(item.stem for item in STUDIES.glob("*.yaml"))
        if str(path) not in names:
            raise BadFile(
                f"{path}: no such file, and no named study; the named ones are {', '.join(names)}"
            )
        candidate = STUDIES / f"{path}.yaml"
    return load(Study, candidate)[0]


def price_of(study: Study) -> float | None:
    """Dollars per device and second; None if nothing says what a device costs."""
    if study.dollars_per_device_hour is not None:
        return study.dollars_per_device_hour / 3600
    return get_gpu(study.gpu).dollars_per_hour / 3600 if study.gpu else None
