"""scaling report: from rows to one HTML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from scaling.catalogue.resources import unknown_notes
from scaling.cli.app import StoreOption, StudyArgument, app, open_study, working
from scaling.cli.curves import collapsed_trainings
from scaling.cli.origin import origin_of
from scaling.cli.verdict import expected_cells, show_answers, show_report, stored_outcomes
from scaling.spec import UserError
from scaling.store.files import StoreError
from scaling.study.steps import Plan
from scaling.study.study import load_study

if TYPE_CHECKING:
    from analysis.collapsed import CollapsedTrainings
    from analysis.examples import Outcomes
    from analysis.origin import Origin


@app.command()
def report(
    name: StudyArgument = "",
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
    example: Annotated[
        bool,
        typer.Option("--example", help="Of a finished run that came with the package: no study."),
    ] = False,
) -> None:
    """Gains, curves, intervals, verdict: one HTML file that works offline, with its tables."""
    if example:
        if name or uri or also:
            raise UserError("--example has rows of its own: give no study, --store or --also")
        _report_of_example(out or Path("example-report"), claims)
        return
    if not name:
        raise UserError("which study? Give its file or its name, or say --example")
    from scaling.store.history import remade_notes
    from scaling.store.pending import unfinished_steps
    from scaling.store.registration import look, registrations, sentences
    from scaling.store.tidy import ROWS, write_rows

    study, store, plan = open_study(name, uri)
    scan = store.scan()
    done = scan.done
    if not done or not write_rows(plan, store):
        raise StoreError(
            f"{store.uri} has no scored cell of {study.name!r} yet; `scaling run` makes them"
        )
    records = store.records(step for step in plan.steps if step in done)
    folder = out or (store.local / "report" if store.local is not None else Path("report"))
    rows = store.read(ROWS)
    asked = sentences(study, registrations(store), look(store, rows))
    notes = [
        *asked,
        *remade_notes(plan, store, records),
    ]
    with TemporaryDirectory() as temporary:
        local = Path(temporary) / ROWS
        local.write_bytes(rows)
        index = _write(
            plan,
            [local, *(also or [])],
            folder,
            notes,
            claims,
            outcomes=stored_outcomes(store, records) if examples else None,
            unfinished=len(unfinished_steps(plan, scan)),
            origin=origin_of(plan, records),
            collapsed=collapsed_trainings(plan, store, records),
        )
    _show(study.name, folder)
    show_report(store, index)


def _report_of_example(folder: Path, claims: Path | None) -> None:
    """The report of the rows that came with the package; nothing but the analysis is needed."""
    from scaling.catalogue.example import ROWS as SHIPPED
    from scaling.catalogue.example import STUDY, origin_of_rows
    from scaling.study.plan import make_plan

    study = load_study(STUDY)
    notes = [origin_of_rows().sentence]
    index = _write(make_plan(study), [SHIPPED], folder, notes, claims)
    _show(study.name, folder)
    show_report(None, index)


def _write(
    plan: Plan,
    rows: Sequence[Path],
    folder: Path,
    notes: Sequence[str],
    claims: Path | None,
    *,
    outcomes: Outcomes | None = None,
    unfinished: int = 0,
    origin: Origin | None = None,
    collapsed: CollapsedTrainings | None = None,
) -> Path:
    """Write a report and say where its page is.

    Args:
        plan: Whose rows they are.
        rows: Parquet files.
        folder: Of the report.
        notes: Caveats beside the study's own.
        claims: YAML of claims; None for those that came with the package.
        outcomes: Of single examples; None: not known.
        unfinished: Steps that a run would still do.
        origin: Of data, models and numbers; None: not known.
        collapsed: Trainings that collapsed; None: not known.
    """
    from analysis.claims import PHANG2020
    from analysis.load import load_tidy
    from analysis.report import write_report

    study, grid = plan.study, expected_cells(plan)
    with working("report") as say, study.known_languages():
        return write_report(
            load_tidy(rows),
            question=study.question,
            title=study.title or study.name,
            out=folder,
            expected=grid,
            notes=[
                *study.notes,
                *unknown_notes(study.text_family, grid["language"].unique()),
                *notes,
            ],
            claims=claims or PHANG2020,
            outcomes=outcomes,
            unfinished=unfinished,
            origin=origin,
            collapsed=collapsed,
            progress=lambda what: say(f"report: {what}"),
        )


def _show(name: str, folder: Path) -> None:
    said = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    parts = said.get("reports", [said])
    show_answers(name, [part["answer"] | {"name": part.get("name", "")} for part in parts])
