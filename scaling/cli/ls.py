"""scaling ls: the names that there are, by kind of thing; scaling show: one of them in full."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from scaling.catalogue import TASKS
from scaling.catalogue.hardware import GPUS, PRICES_DATED
from scaling.catalogue.languages import LANGUAGES
from scaling.catalogue.metrics import METRIC_KINDS
from scaling.catalogue.models import MODELS
from scaling.catalogue.readers import READER_KINDS
from scaling.catalogue.resources import TABLES, UNPUBLISHED
from scaling.cli.app import StoreOption, app, console, has_all_letters, open_study
from scaling.cli.tables import FoldedTable
from scaling.spec import UserError
from scaling.study.recipes import Recipe
from scaling.study.study import STUDIES, load_study
from scaling.typos import did_you_mean

Row = dict[str, Any]
"""Column → value; the name comes first."""


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
        {
            "name": name,
            "models": len(study.models),
            "arms": len(study.arms),
            "targets": len(study.targets),
            "title": study.title,
        }
        for name, study in found.items()
    ]


def _models() -> list[Row]:
    return [
        {
            "name": model.name,
            "family": model.family,
            "layers": model.depth,
            "hidden": model.hidden,
            "million parameters": round(model.total_params / 1e6),
            "source": model.source,
        }
        for model in MODELS.values()
    ]


def _tasks() -> list[Row]:
    return [
        {
            "name": task.name,
            "kind": task.kind,
            "metric": task.metric,
            "languages": len(task.languages),
            "trains on": ", ".join(task.trains_on) or "nothing",
            "licence": task.licence or "unseen",
        }
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
        {
            "name": language.code,
            "language": language.name,
            "iso639_3": language.iso639_3,
            "script": language.script,
            "family": language.family,
            "joshi": language.joshi,
            f"{text.key}_{text.unit.replace(' ', '_').lower()}": _rounded(text.amount(language)),
            "tier": text.tier(language),
            "tasks": tested.get(language.code, 0),
        }
        for language in LANGUAGES.values()
    ]


def _rounded(amount: float | None) -> float | None:
    """To four digits, as sources that counted tokens have more than anybody reads."""
    return None if amount is None else float(f"{amount:.4g}")


def _gpus() -> list[Row]:
    return [
        {
            "name": gpu.name,
            "GiB": gpu.memory_gib,
            "bf16 TFLOP/s": gpu.bf16_tflops,
            f"$/h ({PRICES_DATED})": gpu.dollars_per_hour,
            "a node": gpu.devices_per_node,
        }
        for gpu in GPUS.values()
    ]


def _readers() -> list[Row]:
    rows = []
    for name, by_kind in READER_KINDS.items():
        options = {option: form for forms in by_kind.values() for option, form in forms.items()}
        shown = [f"{option}*" if form.required else option for option, form in options.items()]
        rows.append(
            {"name": name, "kinds": ", ".join(by_kind), "options, * required": ", ".join(shown)}
        )
    return rows


def _metrics() -> list[Row]:
    return [{"name": name, "kinds": ", ".join(kinds)} for name, kinds in METRIC_KINDS.items()]


def _recipe() -> list[Row]:
    return [
        {
            "name": name,
            "default": field.default,
            "what": " ".join((field.description or "").split()),
        }
        for name, field in Recipe.model_fields.items()
    ]


def _steps(name: str, uri: str) -> list[Row]:
    _, store, plan = open_study(name, uri)
    done = store.scan().done
    return [
        {
            "name": step.id,
            "phase": step.phase,
            "model": step.model,
            "task": step.task,
            "seed": step.seed,
            "state": "done" if step.id in done else "to do",
        }
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


def _things() -> list[tuple[str, str, Any]]:
    """(name, what it is, its facts) of everything that has facts of its own."""
    named: list[tuple[str, dict[str, Any]]] = [
        ("model", MODELS),
        ("task", TASKS),
        ("language", LANGUAGES),
        ("GPU", GPUS),
    ]
    found = [(name, kind, thing) for kind, things in named for name, thing in things.items()]
    return found + [(path.stem, "study", path) for path in sorted(STUDIES.glob("*.yaml"))]


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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """List what a study file can name, or a study's steps."""
    if family and things is not Things.languages:
        raise UserError("--family goes with languages alone: `ls languages --family mt5`")
    if (things is Things.steps) != bool(study):
        raise UserError("--study names the study whose steps are listed: `ls steps --study demo`")
    rows = _steps(study, store) if study else _LISTS[things]()
    if family:
        rows = _languages(family)
    wanted = containing.casefold()
    rows = [row for row in rows if any(wanted in str(value).casefold() for value in row.values())]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=not has_all_letters(), indent=1))
        return
    if not rows:
        raise UserError(f"no row of the {things} has {containing!r} in it")
    table = FoldedTable(rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `ls` lists.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Show all that is known of a model, a task, a language, a GPU or a shipped study."""
    things = _things()
    found = [(kind, thing) for known, kind, thing in things if known == name]
    if not found:
        names = dict.fromkeys(known for known, _, _ in things)
        raise UserError(f"nothing is called {name!r}. {did_you_mean(name, names)}")
    facts = [
        {"is": kind, **TypeAdapter(type(thing)).dump_python(thing, mode="json")}
        for kind, thing in found
        if kind != "study"
    ]
    if as_json:
        studies = [
            {"is": kind, **load_study(name).model_dump(mode="json", exclude_defaults=True)}
            for kind, _ in found
            if kind == "study"
        ]
        typer.echo(json.dumps(facts + studies, ensure_ascii=not has_all_letters(), indent=1))
        return
    for one in facts:
        table = FoldedTable(("fact", "value"), title=f"{one.pop('is')} {name}", show_header=False)
        for fact, value in one.items():
            if value not in (None, "", [], {}):
                table.add_row(fact, _words(value))
        console.print(table)
    for kind, path in found:
        if kind == "study":
            console.print(path.read_text(encoding="utf-8"), soft_wrap=True)


def _words(value: Any) -> str:
    """A fact in words: lists with commas, the rest of what is nested as JSON."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
