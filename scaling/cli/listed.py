"""What `scaling ls` and `scaling show` print: a row of each kind of thing, and its facts in full.

A field's title heads its column of the table for people; its name is the key of the JSON.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from scaling.catalogue.hardware import PRICES_DATED, GpuSpec
from scaling.catalogue.languages import Language
from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import TaskSpec
from scaling.cli.printed import Part, Printed
from scaling.study.study import Study


class StudyRow(Part):
    """A shipped study."""

    name: str
    models: int
    arms: int
    targets: int
    title: str


class ModelRow(Part):
    """A model of the catalogue."""

    name: str
    family: str
    layers: int
    hidden: int
    million_params: int = Field(title="million parameters")
    source: str


class TaskRow(Part):
    """A task of the catalogue."""

    name: str
    kind: str
    metric: str
    languages: int
    trains_on: tuple[str, ...] = Field(title="trains on")
    licence: str
    """`unseen` where nobody has found it stated."""


class LanguageRow(Part):
    """A language."""

    name: str
    language: str
    iso639_3: str
    script: str
    family: str
    joshi: int | None
    """Class of Joshi et al. 2020."""
    text_of: str = Field(title="text")
    """The corpus of a family's pretraining (`--family`; else XLM-R's)."""
    text: float | None = Field(title="amount")
    """How much of it is in the language; None where that is not known."""
    text_unit: str = Field(title="unit")
    tier: str
    tasks: int
    """Of the catalogue that test it."""


class GpuRow(Part):
    """A GPU of the table."""

    name: str
    memory_gib: float = Field(title="GiB")
    bf16_tflops: float = Field(title="bf16 TFLOP/s")
    dollars_per_hour: float = Field(title=f"$/h ({PRICES_DATED})")
    devices_per_node: int = Field(title="a node")


class ReaderRow(Part):
    """A reader of data files."""

    name: str
    kinds: tuple[str, ...]
    required: tuple[str, ...]
    """Options that must be given."""
    options: tuple[str, ...]
    """The others."""


class MetricRow(Part):
    """A metric."""

    name: str
    kinds: tuple[str, ...]


class RecipeRow(Part):
    """A field of a recipe."""

    name: str
    default: Any
    what: str


class StepRow(Part):
    """A step of a study."""

    name: str
    phase: str
    model: str
    task: str
    seed: int | None
    state: Literal["done", "to do"]


Row = (
    StudyRow
    | ModelRow
    | TaskRow
    | LanguageRow
    | GpuRow
    | ReaderRow
    | MetricRow
    | RecipeRow
    | StepRow
)


class LsOutput(Printed):
    """`scaling ls --json`."""

    kind: str
    rows: tuple[Row, ...]


class ModelShown(Part):
    """A model of the catalogue."""

    what: Literal["model"] = Field(default="model", alias="is")
    facts: ModelSpec


class TaskShown(Part):
    """A task of the catalogue."""

    what: Literal["task"] = Field(default="task", alias="is")
    facts: TaskSpec


class LanguageShown(Part):
    """A language."""

    what: Literal["language"] = Field(default="language", alias="is")
    facts: Language


class GpuShown(Part):
    """A GPU of the table."""

    what: Literal["GPU"] = Field(default="GPU", alias="is")
    facts: GpuSpec


class StudyShown(Part):
    """A shipped study, with what it leaves to defaults."""

    what: Literal["study"] = Field(default="study", alias="is")
    facts: Study


Shown = ModelShown | TaskShown | LanguageShown | GpuShown | StudyShown


class ShowOutput(Printed):
    """`scaling show --json`."""

    name: str
    things: tuple[Shown, ...]
    """All that have this name."""
