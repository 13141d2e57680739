"""Arms: what happens in phase ii, as data.

An arm becomes one training after another, each of one task or a mixture.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from scaling.catalogue.languages import is_language
from scaling.catalogue.task import TaskSpec
from scaling.spec import FieldError, Name, Spec, UserError, known
from scaling.typos import did_you_mean

Role = Literal[
    "none",
    "single",
    "sequence",
    "multitask",
    "mlm-mix",
    "mlm",
    "translated",
    "pairwise",
    "adapted",
    "control",
]


Control = Literal["compute-matched", "shuffled-labels", "random-init", "synthetic"]


SHUFFLED_KINDS = ("classification", "multiple_choice", "tagging")
"""Kinds whose labels can be permuted: an answer span makes sense in its own text only."""


MLM_EXPONENT = 0.3
"""Language sampling of XLM-R's pretraining (Conneau et al. 2020, section 3.1)."""


# What a mixture shares is one optimiser; these belong to a task's text and head.
_OF_THE_TASK = ("max_length", "prefix", "pooling", "pool_depth")


class Sampling(Spec):
    """How often each task of a mixture is drawn: as min(examples, cap) ** (1 / temperature)."""

    cap: int = Field(default=131_072, gt=0)
    """Most examples that count for one task: K = 2^17 in Phang et al. 2020."""
    temperature: float = Field(default=1.0, ge=1, le=1_000)
    """1 is proportional; larger is more even."""


class Text(Spec):
    """Text for masked language modelling: a task of kind masked_lm."""

    task: str
    languages: tuple[str, ...] = ()
    """Of those that the task has text in; () for all of them."""
    exponent: float = Field(default=MLM_EXPONENT, gt=0, le=1)
    """A language is drawn in proportion to (its examples) ** exponent."""


class Alternated(Text):
    """Masked language modelling beside the intermediate task."""

    ratio: float = Field(default=1.0, gt=0, le=1_000)
    """Updates of masked language modelling for each update of the intermediate task."""


def _text(value: Any) -> Any:
    return {"task": value} if isinstance(value, str) else value


class Arm(Spec):
    """What happens in phase ii."""

    name: Name
    train_on: tuple[str, ...] = ()
    """Intermediate tasks in sequence; () for none."""
    together: tuple[str, ...] = ()
    """Intermediate tasks in one training: a shared encoder and a head for each. Instead of
    `train_on`.
    """
    sampling: Sampling = Sampling()
    """Of `together`, and of `with_target`."""
    mlm: Annotated[Alternated | None, BeforeValidator(_text)] = None
    """Masked language modelling, alternating with the intermediate task."""
    languages: tuple[str, ...] = ()
    """Languages of the intermediate training data; () for English (for a masked_lm task: all that
    it has).
    """
    exponent: float | None = Field(default=None, gt=0, le=1)
    """Language sampling of several `languages`; absent: 0.3 for masked_lm, in proportion for all
    others.
    """
    with_target: bool = False
    """Train the intermediate tasks and the target together in phase iii, instead of one after the
    other.
    """
    adapt: tuple[Annotated[Text, BeforeValidator(_text)], ...] = ()
    """Masked language modelling on these texts, before everything else."""
    new_pieces: int = Field(default=0, ge=0, le=1_000_000)
    """So many words of the text in `adapt` become pieces of the vocabulary, with rows of their
    own.
    """
    transliterate: dict[str, str] = Field(default_factory=dict)
    """Language → a table in `define: tables:`, applied to all of its text, in training and in
    scoring.
    """
    control: Control | None = None
    like: str | None = None
    """compute-matched: the arm whose phase ii sets the number of updates."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields of this arm's phase ii, over those of its tasks."""

    @model_validator(mode="after")
    def _check(self) -> Arm:
        trains = bool(self.train_on or self.together)
        if self.name == "none" and self.model_dump(exclude_defaults=True) != {"name": "none"}:
            raise UserError("the arm 'none' trains on nothing")
        for wrong, field, message in (
            (
                self.train_on and self.together,
                "together",
                "give train_on (one after the other) or together, not both",
            ),
            (len(self.together) == 1, "together", "one task is no mixture; use train_on"),
            (
                self.mlm and not trains,
                "mlm",
                "needs an intermediate task; masked language modelling alone is train_on",
            ),
            (
                self.mlm and len(self.train_on) > 1,
                "mlm",
                "mixes into one training; train_on has several",
            ),
            (
                self.with_target and not trains,
                "with_target",
                "needs an intermediate task in train_on or together",
            ),
            (self.with_target and self.mlm, "with_target", "cannot be combined with mlm"),
            (
                self.languages and not trains,
                "languages",
                "needs an intermediate task in train_on or together",
            ),
            (
                self.new_pieces and not self.adapt,
                "new_pieces",
                "needs text in adapt, which the words come from",
            ),
            (
                self.like and self.control != "compute-matched",
                "like",
                "belongs to control: compute-matched",
            ),
            (
                self.control == "compute-matched" and not self.like,
                "control",
                "compute-matched needs like: ARM",
            ),
            (
                self.control == "compute-matched" and (trains or self.adapt),
                "control",
                "compute-matched trains on the target's own data; it has no tasks of its own",
            ),
            (
                self.control in ("shuffled-labels", "synthetic") and not trains,
                "control",
                f"{self.control} needs an intermediate task in train_on or together",
            ),
        ):
            if wrong:
                raise FieldError((field,), message)
        for name in set(self.recipe) & set(_OF_THE_TASK):
            raise FieldError(("recipe", name), "belongs to a task: set it under recipes, by task")
        if self.name != "none" and self.role == "none":
            raise UserError(
                f"the arm {self.name!r} does nothing; give it a task, a control or text to adapt to"
            )
        return self

    @property
    def role(self) -> Role:
        """What the analysis knows an arm by: only English intermediate training is pooled."""
        if self.control:
            return "control"
        if self.adapt or self.new_pieces or self.transliterate:
            return "adapted"
        if self.with_target:
            return "pairwise"
        if self.mlm:
            return "mlm-mix"
        if set(self.languages) - {"en"}:
            return "translated"
        if self.together:
            return "multitask"
        return "none" if not self.train_on else "single" if len(self.train_on) == 1 else "sequence"

    @property
    def intermediate(self) -> tuple[str, ...]:
        """The intermediate tasks, in order."""
        return self.train_on or self.together

    @property
    def texts(self) -> tuple[Text, ...]:
        """Text for masked language modelling beside or before the intermediate tasks."""
        return (*self.adapt, *((self.mlm,) if self.mlm else ()))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that phase ii trains on."""
        return (
            *(text.task for text in self.adapt),
            *self.intermediate,
            *((self.mlm.task,) if self.mlm else ()),
        )


def arm_role(arm: Arm, tasks: Mapping[str, TaskSpec]) -> Role:
    """The role of an arm; masked language modelling alone is no English task either."""
    kinds = {tasks[name].kind for name in arm.intermediate}
    return (
        "mlm"
        if arm.role in ("single", "sequence", "translated") and kinds == {"masked_lm"}
        else arm.role
    )


def check_arm(
    arm: Arm,
    arms: Mapping[str, Arm],
    tasks: Mapping[str, TaskSpec],
    tables: Mapping[str, Any],
    languages: Collection[str],
) -> None:
    """FieldError for what only the whole study can tell: tasks, kinds, languages, tables, `like`.

    Args:
        arm: that is checked.
        arms: of the study, by name.
        tasks: of the study, by name.
        tables: transliteration tables of the study, by name.
        languages: that the study scores.
    """
    for key in ("train_on", "together"):
        for at, name in enumerate(getattr(arm, key)):
            if name not in tasks:
                fits = [task.name for task in tasks.values() if task.can_train]
                # An arm that is a task's name alone may have been meant as `none`.
                fits += ["none"] * (arm.intermediate == (arm.name,))
                known("intermediate task", name, fits, "tasks", (key, at))
        if len(set(getattr(arm, key))) != len(getattr(arm, key)):
            raise FieldError((key,), "names a task twice")
    for at, text in enumerate(arm.adapt):
        _check_text(("adapt", at), text, tasks)
    if arm.mlm:
        _check_text(("mlm",), arm.mlm, tasks)
        if any(tasks[name].kind == "masked_lm" for name in arm.intermediate):
            raise FieldError(("mlm",), "the intermediate task is masked language modelling itself")
    if arm.together and "masked_lm" in {tasks[name].kind for name in arm.together}:
        raise FieldError(
            ("together",), "masked language modelling alternates by a ratio: give it as mlm"
        )
    for name in arm.intermediate:
        for at, code in enumerate(arm.languages):
            _has_text(("languages", at), code, tasks[name])
            if tasks[name].kind != "masked_lm" and not tasks[name].has_dev:
                raise FieldError(
                    ("languages", at),
                    f"{name} has no English training rows that its rows in {code!r} could"
                    " translate",
                )
        if arm.control == "shuffled-labels" and tasks[name].kind not in SHUFFLED_KINDS:
            raise FieldError(
                ("control",),
                f"{name} is of kind {tasks[name].kind}; labels are shuffled for"
                f" {', '.join(SHUFFLED_KINDS)}",
            )
    if arm.like is not None:
        fits = [name for name, other in arms.items() if _can_be_matched(other)]
        if arm.like in arms and arm.like not in fits:
            raise FieldError(
                ("like",), f"the arm {arm.like!r} has no phase ii of its own to be matched"
            )
        known("arm", arm.like, fits, path=("like",))
    for code, table in arm.transliterate.items():
        if not is_language(code):
            known("language", code, languages, "languages", ("transliterate", code))
        known("table", table, tables, path=("transliterate", code))


def _can_be_matched(arm: Arm) -> bool:
    own = arm.control not in ("compute-matched", "random-init") and not arm.with_target
    return own and bool(arm.intermediate)


def _check_text(path: tuple[str | int, ...], text: Text, tasks: Mapping[str, TaskSpec]) -> None:
    if text.task not in tasks:
        fits = [task.name for task in tasks.values() if task.kind == "masked_lm"]
        known("task", text.task, fits, path=(*path, "task"))
    kind = tasks[text.task].kind
    if kind != "masked_lm":
        raise FieldError(
            (*path, "task"),
            f"{text.task} is of kind {kind}; text for adaptation is of kind masked_lm",
        )
    for at, code in enumerate(text.languages):
        _has_text((*path, "languages", at), code, tasks[text.task])


def _has_text(path: tuple[str | int, ...], code: str, task: TaskSpec) -> None:
    if code not in task.train_languages:
        # A language that another task has may be right, and this task wrong.
        raise FieldError(
            path,
            f"{task.name} has no training data in {code!r}."
            f" {did_you_mean(code, task.train_languages)}",
            "" if is_language(code) else code,
            task.train_languages,
        )
