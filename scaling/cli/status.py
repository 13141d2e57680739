"""scaling status · explain · logs · cancel: from the store, with or without a job alive."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all


@app.command()
def status(
    study: StudyArgument,
    store: StoreOption = "",
    live: Annotated[
        bool, typer.Option("--live", help="Show it until the study is done; ends with Ctrl-C.")
    ] = False,
) -> None:
    """Done, running, failed and collapsed steps, time left, dollars, and where the time went. From
    the store alone.
    """
    from scaling.cli.live import show_live, status_group
    from scaling.planning.progress import study_status

    _, place, whole = load_all(study, store)
    if live:
        show_live(whole, place, console)
    console.print(status_group(whole, study_status(whole, place)))
