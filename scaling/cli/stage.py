"""scaling stage: read, check and hash data and weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from scaling.cli.app import StoreOption, StudyArgument, app, console, open_store, working
from scaling.data.manifest import StagedTask
from scaling.planning.progress import current_plan
from scaling.store.store import Store
from scaling.study.steps import Plan
from scaling.study.study import Study, load_study

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


@app.command()
def stage(
    name: StudyArgument,
    uri: StoreOption = "",
    source: FromOption = None,
    accept: AcceptOption = None,
) -> None:
    """Read, check and hash all data and weights of a study, once, into its store and lock file."""
    from scaling.data.manifest import defect_notes, staged_tasks

    study = load_study(name)
    store = open_store(study, uri)
    stage_and_plan(study, store, source, accept or [])
    tasks = staged_tasks(study, store)
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


def staged_table(tasks: Sequence[StagedTask]) -> Table:
    """One line per task and source: rows, origin, commit, terms, defects."""
    table = Table(title="staged data")
    for name in (
        "task",
        "train",
        "dev",
        "test",
        "languages",
        "source",
        "revision",
        "licence",
        "defects",
    ):
        table.add_column(
            name,
            justify="right" if name in ("train", "dev", "test", "languages", "defects") else "left",
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
