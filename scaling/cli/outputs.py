"""What commands print with `--json`: one object, whose JSON schema is kept in docs/json/."""

from __future__ import annotations

from typing import Any, Literal

import typer

from scaling.cli.app import has_all_letters
from scaling.cli.listed import LsOutput, ShowOutput
from scaling.cli.live import SizeStatus
from scaling.cli.printed import Part, Printed
from scaling.planning.progress import Attempt, Seconds
from scaling.planning.rates import Choice
from scaling.study.terms import Terms


class Output(Printed):
    """What every output of a study has."""

    study: str


class PlannedSize(Part):
    """One model of a plan."""

    model: str
    total_params: int
    placements: dict[str, list[str]]
    """How trainings are placed → the tasks that are; empty if the size fits nowhere."""
    problem: str
    """Why it does not fit; '' if it does."""
    peak_bytes: float | None
    """Of the training that fills a device most."""
    peak_task: str
    cells: int
    steps: int
    flops: float
    device_hours: float | None
    """None if it does not fit."""
    dollars: float | None
    checkpoint_bytes: float
    resume_bytes: float
    basis: str
    """Where the speed comes from."""


class PlannedStep(Part):
    """One step of a plan."""

    id: str
    parent: str | None
    phase: str
    model: str
    task: str
    seed: int | None
    done: bool


class PlanOutput(Output):
    """`scaling plan --json`."""

    store: str
    gpu: str | None
    """None: CPUs."""
    devices: int
    provisional: bool
    """Whether ids of steps will change when `scaling stage` has resolved every hash."""
    cells: int
    unique_steps: int
    done: int
    pending: int
    sizes: list[PlannedSize]
    device_hours: float
    """Of all sizes that fit."""
    dollars: float | None
    dollars_per_hour: float | None
    price_source: str
    makespan_seconds: float | None
    """None without a number of devices."""
    bound_seconds: float | None
    notes: list[str]
    steps: list[PlannedStep] | None
    """With `--steps`."""


class WorkingStep(Part):
    """A step that somebody works on."""

    step: str
    owner: str
    age_seconds: float
    """Since the last sign of life."""
    done: float | None
    total: float | None


class StatusOutput(Output):
    """`scaling status --json`."""

    store: str
    steps: int
    done: int
    pending: int
    sizes: list[SizeStatus]
    working: list[WorkingStep]
    eta_seconds: float | None
    seconds: Seconds
    dollars: float | None
    budget_dollars: float | None
    store_bytes: int | None
    """None on an object store, where a request shows a thousand files alone."""


class Prediction(Part):
    """One test example of a scoring."""

    id: str
    prediction: str
    """As the step stored it; of a retrieval the id of the candidate that came first."""
    outcome: float
    """0..1 on the first of its scores; the F1 of the example where spans are counted."""
    scores: dict[str, float | None]
    """All that the step stored of it, by column."""
    row: dict[str, Any] | None
    """Its staged row: texts and what is right; null if the rows do not have it."""
    predicted_row: dict[str, Any] | None
    """The row whose id was predicted, of a retrieval; null of other kinds."""


class PredictionsOutput(Output):
    """Of `scaling predictions`."""

    store: str
    step: str
    task: str
    language: str
    wrong: bool
    """Whether only examples with an outcome below 1 are given."""
    scored: int
    matching: int
    """How many there are; `examples` has the first of them."""
    examples: list[Prediction]


class ExplainOutput(Output):
    """`scaling explain --json`."""

    store: str
    step: str
    identity: dict[str, Any]
    state: str
    """Why it is pending, or that it is done."""
    attempts: list[Attempt]
    failures: list[str]
    log: list[str]
    """The last lines about it, if it failed."""
    record: dict[str, Any] | None
    """None until it is done."""


class StagedSource(Part):
    """Where rows come from."""

    source: str
    revision: str


class StagedTaskOutput(Part):
    """What a store has of a task."""

    task: str
    rows: dict[str, int]
    languages: int
    sources: list[StagedSource]
    licence: str
    defects: dict[str, int]


class StageOutput(Output):
    """`scaling stage --json`."""

    store: str
    tasks: list[StagedTaskOutput]
    notes: list[str]


class LookedSource(Part):
    """One source as it is now."""

    what: str
    source: str
    revision: str
    files: int
    ending: str
    columns: list[str]
    labels: list[str]
    rows: dict[str, int]
    notes: list[str]
    faults: list[str]


class StageCheckOutput(Output):
    """`scaling stage --check --json`."""

    sources: list[LookedSource]
    would_stage: bool


class FreedGroup(Part):
    """One kind of what a store can do without."""

    group: str
    what: str
    places: int
    bytes: int


class GcOutput(Output):
    """`scaling gc --json`: deletes with `--yes` alone."""

    store: str
    groups: list[FreedGroup]
    places: int
    bytes: int
    freed_places: int
    freed_bytes: int


class PowerRow(Part):
    """What so many seeds see."""

    seeds: int
    detectable: float
    """Slope, points per tenfold scale."""
    affirm_half_point: float
    """Chance to affirm a slope within ±0.5."""


class RehearsedLine(Part):
    """Simulated studies of one true change."""

    scores: str
    true_change: float
    """Points from the smallest to the largest size."""
    coverage: float
    verdicts: dict[str, float]


class SmallestFall(Part):
    """The smallest fall that is called DIMINISHES in 80 %, points."""

    scores: str
    at: float | None
    """None: none of those that were tried."""
    low: float | None
    high: float | None


class SeedAdvice(Part):
    """One more seed at one size."""

    size: str
    seeds_before: int
    variance_cut: float
    cost: float
    unit: str


class PowerOutput(Output):
    """`scaling power --json`."""

    variances: Literal["a pilot", "assumed variances"]
    shape: dict[str, int]
    """What is pooled → how many of it."""
    effect: float
    wanted: float
    seeds_needed: int | None
    """None: more than 200."""
    replica_sd: float
    """Points."""
    grid: list[PowerRow]
    rehearsal: list[RehearsedLine]
    smallest_falls: list[SmallestFall]
    advice: list[SeedAdvice]


class RecipeField(Part):
    """One number of a training."""

    field: str
    value: Any
    source: str


class TaskRecipe(Part):
    """All numbers of the trainings of a task."""

    task: str
    fields: list[RecipeField]


class RecipesOutput(Output):
    """`scaling recipes --json`."""

    protocol: str
    tasks: list[TaskRecipe]


class RateScoreOutput(Part):
    """Trials of one task at one size and rate."""

    task: str
    model: str
    rate: float
    scores: list[float]
    """English dev, 0..1, one per seed that is done."""
    mean: float | None
    error: float | None
    collapsed: int
    planned: int


class RatesOutput(Output):
    """`scaling rates --json`."""

    store: str
    scores: list[RateScoreOutput]
    choices: list[Choice]
    missing: list[str]
    """Tasks without a choice yet."""
    paste: list[str]
    """Lines for a study file."""


class CurvePoint(Part):
    """A few updates of a training."""

    update: int
    """Updates that were done by then."""
    loss: float
    """Mean since the point before."""
    learning_rate: float
    """Of the last update."""
    gradient_norm: float | None
    """The largest since the point before, before clipping; None where it was not measured."""
    tokens_per_second: float | None
    """Real tokens of all workers."""


class TrainingCurve(Part):
    """One finished training."""

    step: str
    model: str
    collapsed: bool
    points: list[CurvePoint]


class CurvesOutput(Output):
    """`scaling curves --json`."""

    store: str
    curves: list[TrainingCurve]


class AnswerOutput(Part):
    """The answer of one family and method, in words."""

    name: str
    """Family and method; empty where the records have one of each."""
    form: str
    """The verdict, or that there is none yet."""
    headline: str
    """What the verdict says of the change with scale, or why there is none."""
    qualifiers: list[str]
    sentence: str
    """The gain at the smallest and at the largest size; empty where there is no slope."""
    left_out: list[str]
    """What is not in it and why, one fact each."""


class VerdictOutput(Output):
    """`scaling verdict --json`."""

    store: str
    answers: list[AnswerOutput]


class ReferenceOutput(Part):
    """What is cited."""

    source: str
    """Where a reader finds the entry, or `unseen`."""
    bibtex: str


class CiteOutput(Output):
    """`scaling cite --json`."""

    terms: list[Terms]
    references: dict[str, ReferenceOutput]
    """By key of the bibliography."""
    unseen: list[str]
    """Names that nobody has compared with a source, licence or citation."""


OUTPUTS: dict[str, type[Printed]] = {
    "plan": PlanOutput,
    "status": StatusOutput,
    "explain": ExplainOutput,
    "predictions": PredictionsOutput,
    "stage": StageOutput,
    "stage-check": StageCheckOutput,
    "gc": GcOutput,
    "power": PowerOutput,
    "recipes": RecipesOutput,
    "rates": RatesOutput,
    "curves": CurvesOutput,
    "verdict": VerdictOutput,
    "cite": CiteOutput,
    "ls": LsOutput,
    "show": ShowOutput,
}
"""Command → what it prints with `--json`."""


def print_json(output: Printed) -> None:
    """One object on standard output; NaN and infinity are null."""
    typer.echo(output.model_dump_json(by_alias=True, indent=1, ensure_ascii=not has_all_letters()))


def finite(number: float) -> float | None:
    """The number, or None where there is none."""
    return number if number - number == 0 else None
