"""scaling report: from rows to one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaling.catalogue.languages import unknown_notes
from scaling.cli.app import StoreOption, StudyArgument, app, console, open_study, working
from scaling.store.store import StoreError

OUTCOMES = "outcomes.parquet"


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
    import io

    import polars as pl

    from analysis.claims import PHANG2020
    from analysis.load import load_tidy
    from analysis.report import write_report

    records = store.records(step for step in plan.steps if step in done)
    folder = out or (store.local / "report" if store.local is not None else Path("report"))
    local = folder / ROWS
    folder.mkdir(parents=True, exist_ok=True)
    rows = store.read(ROWS)
    local.write_bytes(rows)
    asked = sentences(study, registrations(store), look(store, rows))
    grid = [
        {"model": cell.model, "arm": cell.arm, "target": cell.target, "seed": cell.seed}
        | {"language": code}
        for cell in plan.cells
        for code in study.test_languages(cell.target)
    ]
    codes = {str(row["language"]) for row in grid}

    def outcomes(step: str) -> pl.DataFrame | None:
        """Of a scoring of this store; those of `--also` are elsewhere."""
        if step not in records or OUTCOMES not in records[step].files:
            return None
        content = io.BytesIO(store.read_file(records[step], OUTCOMES))
        # Predictions are most of the file, and nothing here looks at them.
        return pl.scan_parquet(content).drop("prediction").collect()

    with working("report") as say, study.known_languages():
        index = write_report(
            load_tidy([local, *(also or [])]),
            question=study.question,
            title=study.title or study.name,
            out=folder,
            expected=pl.DataFrame(grid),
            notes=[
                *study.notes,
                *unknown_notes(codes),
                *asked,
                *remade_notes(plan, store, records),
                *version_notes(records.values(), {}),
            ],
            claims=claims or PHANG2020,
            outcomes=outcomes if examples else None,
            progress=lambda what: say(f"report: {what}"),
        )
    console.print(f"report: {index}", soft_wrap=True)
