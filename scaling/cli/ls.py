"""scaling ls: the names that there are, by kind of thing; scaling show: one of them in full."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from scaling.catalogue import TASKS
from scaling.catalogue.hardware import GPUS
from scaling.catalogue.languages import LANGUAGES
from scaling.catalogue.metrics import METRIC_KINDS
from scaling.catalogue.models import MODELS
from scaling.catalogue.readers import READER_KINDS
from scaling.catalogue.resources import TABLES, UNPUBLISHED
from scaling.cli.app import JsonOption, StoreOption, app, console, open_study
from scaling.cli.listed import (
    GpuRow,
    GpuShown,
    LanguageRow,
    LanguageShown,
    LsOutput,
    MetricRow,
    ModelRow,
    ModelShown,
    ReaderRow,
    RecipeRow,
    Row,
    Shown,
    ShowOutput,
    StepRow,
    StudyRow,
    StudyShown,
    TaskRow,
    TaskShown,
)
from scaling.cli.outputs import print_json
from scaling.cli.tables import FoldedTable
from scaling.spec import UserError
from scaling.study.recipes import Recipe
from scaling.study.study import STUDIES, load_study
from scaling.typos import did_you_mean


class Things(StrEnum):
    """What can be listed."""

    studies = "studies"
    models = "models"
    tasks = "tasks"
    languages = "languages"
    gpus = "gpus"
    readers = "readers"
    metrics = "metrics"
    recipe = "recipe"
    steps = "steps"


def _studies() -> list[Row]:
    found = {path.stem: load_study(path.stem) for path in sorted(STUDIES.glob("*.yaml"))}
    return [
        StudyRow(
            name=name,
            models=len(study.models),
            arms=len(study.arms),
            targets=len(study.targets),
            title=study.title,
        )
        for name, study in found.items()
    ]


def _models() -> list[Row]:
    return [
        ModelRow(
            name=model.name,
            family=model.family,
            layers=model.depth,
            hidden=model.hidden,
            million_params=round(model.total_params / 1e6),
            source=model.source,
        )
        for model in MODELS.values()
    ]


def _tasks() -> list[Row]:
    return [
        TaskRow(
            name=task.name,
            kind=task.kind,
            metric=task.metric,
            languages=len(task.languages),
            trains_on=tuple(task.trains_on),
            licence=task.licence or "unseen",
        )
        for task in TASKS.values()
    ]


def _languages(family: str = "xlm-r") -> list[Row]:
    """With what a family read of each; UserError where nobody says it."""
    if family not in TABLES:
        why = UNPUBLISHED.get(family)
        raise UserError(
            f"what {family} read of each language is not known: {why}"
            if why
            else f"no family is called {family!r}. {did_you_mean(family, TABLES)}"
        )
    text = TABLES[family]
    tested: dict[str, int] = {}
    for task in TASKS.values():
        for code in task.languages:
            tested[code] = tested.get(code, 0) + 1
    return [
        LanguageRow(
            name=language.code,
            language=language.name,
            iso639_3=language.iso639_3,
            script=language.script,
            family=language.family,
            joshi=language.joshi,
            text_of=text.key,
            text=_rounded(text.amount(language)),
            text_unit=text.unit,
            tier=text.tier(language),
            tasks=tested.get(language.code, 0),
        )
        for language in LANGUAGES.values()
    ]


def _rounded(amount: float | None) -> float | None:
    """To four digits, as sources that counted tokens have more than anybody reads."""
    return None if amount is None else float(f"{amount:.4g}")


def _gpus() -> list[Row]:
    own = set(GpuRow.model_fields)
    return [GpuRow(**gpu.model_dump(include=own)) for gpu in GPUS.values()]


def _readers() -> list[Row]:
    rows: list[Row] = []
    for name, by_kind in READER_KINDS.items():
        options = {option: form for forms in by_kind.values() for option, form in forms.items()}
        rows.append(
            ReaderRow(
                name=name,
                kinds=tuple(by_kind),
                required=tuple(option for option, form in options.items() if form.required),
                options=tuple(option for option, form in options.items() if not form.required),
            )
        )
    return rows


def _metrics() -> list[Row]:
    return [MetricRow(name=name, kinds=tuple(kinds)) for name, kinds in METRIC_KINDS.items()]


def _recipe() -> list[Row]:
    return [
        RecipeRow(
            name=name,
            default=field.default,
            what=" ".join((field.description or "").split()),
        )
        for name, field in Recipe.model_fields.items()
    ]


def _steps(name: str, uri: str) -> list[Row]:
    _, store, plan = open_study(name, uri)
    done = store.scan().done
    return [
        StepRow(
            name=step.id,
            phase=step.phase,
            model=step.model,
            task=step.task,
            seed=step.seed,
            state="done" if step.id in done else "to do",
        )
        for step in plan.steps.values()
    ]


_LISTS: dict[Things, Callable[[], list[Row]]] = {
    Things.studies: _studies,
    Things.models: _models,
    Things.tasks: _tasks,
    Things.languages: _languages,
    Things.gpus: _gpus,
    Things.readers: _readers,
    Things.metrics: _metrics,
    Things.recipe: _recipe,
}


def names() -> list[str]:
    """Every name that has facts of its own; a name of two things is there twice."""
    studies = [path.stem for path in sorted(STUDIES.glob("*.yaml"))]
    return [*MODELS, *TASKS, *LANGUAGES, *GPUS, *studies]


def things_called(name: str) -> tuple[Shown, ...]:
    """Everything of that name; UserError with the nearest one if there is nothing."""
    found: list[Shown] = []
    if name in MODELS:
        found.append(ModelShown(facts=MODELS[name]))
    if name in TASKS:
        found.append(TaskShown(facts=TASKS[name]))
    if name in LANGUAGES:
        found.append(LanguageShown(facts=LANGUAGES[name]))
    if name in GPUS:
        found.append(GpuShown(facts=GPUS[name]))
    if (STUDIES / f"{name}.yaml").is_file():
        found.append(StudyShown(facts=load_study(name)))
    if not found:
        known = dict.fromkeys(names())
        raise UserError(f"nothing is called {name!r}. {did_you_mean(name, known)}")
    return tuple(found)


@app.command("ls")
def list_names(
    things: Annotated[
        Things, typer.Argument(metavar="KIND", help=f"{', '.join(things for things in Things)}.")
    ],
    containing: Annotated[
        str, typer.Argument(metavar="[FILTER]", help="Only rows with this text in some column.")
    ] = "",
    study: Annotated[str, typer.Option(help="Whose steps.")] = "",
    store: StoreOption = "",
    family: Annotated[str, typer.Option(help="Of models: whose text of each language.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what a study file can name, or a study's steps."""
    if family and things is not Things.languages:
        raise UserError("--family goes with languages alone: `ls languages --family mt5`")
    if (things is Things.steps) != bool(study):
        raise UserError("--study names the study whose steps are listed: `ls steps --study demo`")
    if study:
        rows = _steps(study, store)
    elif family:
        rows = _languages(family)
    else:
        rows = _LISTS[things]()
    wanted = containing.casefold()
    rows = [row for row in rows if any(wanted in one.casefold() for one in _cells(row))]
    if as_json:
        print_json(LsOutput(kind=things, rows=tuple(rows)))
        return
    if not rows:
        raise UserError(f"no row of the {things} has {containing!r} in it")
    fields = type(rows[0]).model_fields
    table = FoldedTable([field.title or name for name, field in fields.items()])
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)


def _cells(row: Row) -> list[str]:
    return ["" if value is None else _words(value) for value in row.model_dump().values()]


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `ls` lists.")],
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of a model, a task, a language, a GPU or a shipped study."""
    found = things_called(name)
    if as_json:
        print_json(ShowOutput(name=name, things=found))
        return
    for thing in found:
        if isinstance(thing, StudyShown):
            text = (STUDIES / f"{name}.yaml").read_text(encoding="utf-8")
            console.print(text, soft_wrap=True)
            continue
        table = FoldedTable(("fact", "value"), title=f"{thing.what} {name}", show_header=False)
        for fact, value in thing.facts.model_dump(mode="json").items():
            if value not in (None, "", [], {}):
                table.add_row(fact, _words(value))
        console.print(table)


def _words(value: Any) -> str:
    """A fact in words: lists with commas, the rest of what is nested as JSON."""
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "nothing"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
