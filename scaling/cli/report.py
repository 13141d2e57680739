"""scaling report: from rows to one HTML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from scaling.catalogue.languages import unknown_notes
from scaling.cli.app import StoreOption, StudyArgument, app, open_study, working
from scaling.cli.verdict import expected_cells, show_answers, show_report, stored_outcomes
from scaling.spec import UserError
from scaling.store.files import StoreError


@app.command()
def report(
    name: StudyArgument,
    uri: StoreOption = "",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder. Default: STORE/report.")
    ] = None,
    also: Annotated[
        list[Path] | None, typer.Option("--also", help="More rows.parquet, from other stores.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(help="YAML of claims to check; Phang et al. 2020 if absent.")
    ] = None,
    examples: Annotated[
        bool, typer.Option(help="Read the outcomes of single examples: a file for each scoring.")
    ] = True,
) -> None:
    """Gains, curves, intervals, verdict: one HTML file that works offline, with its tables."""
    from scaling.store.history import remade_notes, version_notes
    from scaling.store.registration import look, registrations, sentences
    from scaling.store.tidy import ROWS, write_rows

    study, store, plan = open_study(name, uri)
    done = store.scan().done
    if not done or not write_rows(plan, store):
        raise StoreError(
            f"{store.uri} has no scored cell of {study.name!r} yet; `scaling run` makes them"
        )
    from analysis.claims import PHANG2020
    from analysis.load import load_tidy
    from analysis.report import write_report

    records = store.records(step for step in plan.steps if step in done)
    folder = out or (store.local / "report" if store.local is not None else Path("report"))
    local = folder / ROWS
    rows = store.read(ROWS)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        local.write_bytes(rows)
    except OSError as error:
        raise UserError(f"no report can be written into {folder}: {error.strerror}") from error
    asked = sentences(study, registrations(store), look(store, rows))
    grid = expected_cells(plan)
    codes = set(grid["language"].unique().sort())
    with working("report") as say, study.known_languages():
        index = write_report(
            load_tidy([local, *(also or [])]),
            question=study.question,
            title=study.title or study.name,
            out=folder,
            expected=grid,
            notes=[
                *study.notes,
                *unknown_notes(codes),
                *asked,
                *remade_notes(plan, store, records),
                *version_notes(records.values(), {}),
            ],
            claims=claims or PHANG2020,
            outcomes=stored_outcomes(store, records) if examples else None,
            progress=lambda what: say(f"report: {what}"),
        )
    said = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    parts = said.get("reports", [said])
    show_answers(study.name, [part["answer"] | {"name": part.get("name", "")} for part in parts])
    show_report(store, index)
