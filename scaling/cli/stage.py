"""scaling stage: read, check and hash data and weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.cli.app import (
    JsonOption,
    StoreOption,
    StudyArgument,
    app,
    console,
    open_store,
    working,
)
from scaling.cli.tables import FoldedTable
from scaling.data.manifest import StagedTask
from scaling.planning.progress import current_plan
from scaling.spec import known
from scaling.store.store import Store
from scaling.study.steps import Plan
from scaling.study.study import Study, load_study

if TYPE_CHECKING:
    from scaling.data.layout import SourceLook

FromOption = Annotated[
    Path | None, typer.Option("--from", help="Folder with raw data and model directories.")
]


AcceptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept",
        help="A defect of the data to count instead of refusing, such as empty_text. Repeatable.",
    ),
]


CheckOption = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Download nothing: lists of files, columns, classes, sizes and a few rows as they are"
        " now. Exit code 2 if anything would not stage.",
    ),
]


@app.command()
def stage(
    name: StudyArgument,
    uri: StoreOption = "",
    source: FromOption = None,
    accept: AcceptOption = None,
    check: CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read, check and hash all data and weights of a study, once, into its store and lock file."""
    from scaling.data.manifest import defect_notes, staged_tasks

    study = load_study(name)
    store = open_store(study, uri)
    if check:
        _check(study, store, source, accept or [], as_json=as_json)
        return
    stage_and_plan(study, store, source, accept or [])
    tasks = staged_tasks(study, store)
    if as_json:
        _print_staged(study.name, store.uri, tasks, defect_notes(tasks))
        return
    console.print(staged_table(tasks))
    for note in defect_notes(tasks):
        console.print(f"· {note}", soft_wrap=True)
    console.print(f"staged in {store.uri}", soft_wrap=True)


def stage_and_plan(study: Study, store: Store, source: Path | None, accept: list[str]) -> Plan:
    """Stage whatever is not there yet, and plan with it.

    Args:
        study: whose data and weights are staged.
        store: where they go.
        source: folder with raw data and model directories.
        accept: defects that are counted instead of refused.
    """
    from scaling.training.stage import stage as stage_study

    with working("staging") as say:
        lock = stage_study(study, store, source, lambda what: say(f"staging {what}"), accept)
    return current_plan(study, store, lock)


def _print_staged(name: str, uri: str, tasks: Sequence[StagedTask], notes: list[str]) -> None:
    """Print what a store has as one object.

    Args:
        name: Of the study.
        uri: Of its store.
        tasks: What is staged.
        notes: What is wrong with the data and was accepted.
    """
    from scaling.cli.outputs import StagedSource, StagedTaskOutput, StageOutput, print_json

    shown = [
        StagedTaskOutput(
            task=task.task,
            rows=dict(task.rows),
            languages=task.languages,
            sources=[StagedSource(source=at, revision=commit) for at, commit in task.sources],
            licence=task.licence,
            defects=dict(task.defects),
        )
        for task in tasks
    ]
    print_json(StageOutput(study=name, store=uri, tasks=shown, notes=notes))


def _check(
    study: Study, store: Store, source: Path | None, accept: list[str], *, as_json: bool
) -> None:
    """Print what the sources are now; exit code 2 where one would not stage.

    Args:
        study: Whose sources.
        store: What it locked.
        source: Folder with raw data and models.
        accept: Defects that are counted instead of refused.
        as_json: As one object.
    """
    from scaling.catalogue.readers import DEFECTS
    from scaling.data.layout import look_at

    for defect in accept:
        known("defect", defect, DEFECTS)
    lock = store.read_lock()
    locked = {
        **lock.revisions,
        **{f"model {name}": entry.get("revision", "") for name, entry in lock.models.items()},
    }
    looks = []
    with working("looking") as say:
        for look in look_at(study, source, locked, accept):
            say(f"looking at {look.what}")
            looks.append(look)
    if as_json:
        _print_looks(study.name, looks)
        if any(look.faults for look in looks):
            raise typer.Exit(2)
        return
    console.print(look_table(looks))
    for look in looks:
        for note in look.notes:
            console.print(f"· {look.what}, {look.source}: {note}", soft_wrap=True)
    wrong = [look for look in looks if look.faults]
    for look in wrong:
        for fault in look.faults:
            console.print(f"✗ {look.what}, {look.source}: {fault}", soft_wrap=True)
    if wrong:
        console.print(f"{len(wrong)} of {len(looks)} sources would not stage")
        raise typer.Exit(2)
    console.print(
        f"all {len(looks)} sources would stage, as far as names, columns, sizes and first rows"
        " tell; defects are counted by `scaling stage` itself",
        soft_wrap=True,
    )


def _print_looks(name: str, looks: Sequence[SourceLook]) -> None:
    """Print what the sources of a study are now as one object."""
    from dataclasses import asdict

    from scaling.cli.outputs import LookedSource, StageCheckOutput, print_json

    shown = [LookedSource.model_validate(asdict(look)) for look in looks]
    would = not any(look.faults for look in looks)
    print_json(StageCheckOutput(study=name, sources=shown, would_stage=would))


def look_table(looks: Sequence[SourceLook]) -> FoldedTable:
    """One line per source: files, columns, classes, rows, commit, whether it would stage."""
    table = FoldedTable(
        ("of", "source", "revision", "files", "columns", "classes", "rows", "stages"),
        title="sources as they are now; nothing was downloaded",
    )
    for look in looks:
        rows = ", ".join(f"{split} {count:,}" for split, count in look.rows.items())
        table.add_row(
            look.what,
            look.source,
            look.revision[:12] or "-",
            f"{look.files} {look.ending}".strip() if look.files else "-",
            " ".join(look.columns) or "-",
            " ".join(look.labels) or "-",
            rows or "-",
            "no" if look.faults else "yes",
        )
    return table


def staged_table(tasks: Sequence[StagedTask]) -> FoldedTable:
    """One line per task and source: rows, origin, commit, terms, defects."""
    of_rows = ("train", "dev", "test", "languages")
    table = FoldedTable(
        ("task", *of_rows, "source", "revision", "licence", "defects"),
        title="staged data",
        right=(*of_rows, "defects"),
    )
    for task in tasks:
        counts = [
            f"{task.rows[split]:,}" if split in task.rows else "-"
            for split in ("train", "dev", "test")
        ]
        for at, (source, revision) in enumerate(task.sources):
            shown = (source, revision[:12] or "-")
            if at == 0:
                number = f"{sum(task.defects.values()):,}"
                table.add_row(
                    task.task, *counts, f"{task.languages or '-'}", *shown, task.licence, number
                )
            else:
                table.add_row("", "", "", "", "", *shown, "", "")
    return table
