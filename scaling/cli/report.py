"""scaling report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all
from scaling.store.store import StoreError


@app.command()
def report(
    study: StudyArgument,
    store: StoreOption = "",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder. Default: STORE/report.")
    ] = None,
    also: Annotated[
        list[Path] | None, typer.Option("--also", help="More rows.parquet, from other stores.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(help="YAML of claims to check; Phang et al. 2020 if absent.")
    ] = None,
) -> None:
    """Gains, curves, intervals, verdict: one HTML file that works offline, with figures and tables
    beside it.
    """
    from scaling.store.registration import look, registrations, sentences
    from scaling.store.tidy import ROWS, write_rows

    spec, place, whole = load_all(study, store)
    if not place.scan().done or not write_rows(whole, place):
        raise StoreError(
            f"{place.uri} has no scored cell of {spec.name!r} yet; `scaling run` makes them"
        )
    import polars as pl

    from analysis.claims import PHANG2020
    from analysis.load import load_tidy
    from analysis.report import write_report

    folder = out or (place.local / "report" if place.local is not None else Path("report"))
    local = folder / ROWS
    folder.mkdir(parents=True, exist_ok=True)
    rows = place.read(ROWS)
    local.write_bytes(rows)
    asked = sentences(spec, registrations(place), look(place, rows))
    grid = [
        {"model": c.model, "arm": c.arm, "target": c.target, "seed": c.seed, "language": code}
        for c in whole.cells
        for code in spec.test_languages(c.target)
    ]
    with console.status("report") as shown:
        index = write_report(
            load_tidy([local, *(also or [])]),
            question=spec.question,
            title=spec.title or spec.name,
            out=folder,
            expected=pl.DataFrame(grid),
            notes=[*spec.notes, *asked],
            claims=claims or PHANG2020,
            progress=lambda what: shown.update(f"report: {what}"),
        )
    console.print(f"report: {index}", soft_wrap=True)
