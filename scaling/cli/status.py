"""scaling status: from the store, with or without a job alive."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, begun_study, console


@app.command()
def status(
    name: StudyArgument,
    uri: StoreOption = "",
    live: Annotated[
        bool, typer.Option("--live", help="Show it until the study is done; ends with Ctrl-C.")
    ] = False,
) -> None:
    """Done, running, failed, collapsed, time left, dollars, where time went: by the store alone."""
    from scaling.cli.live import show_live, status_group
    from scaling.planning.progress import study_status

    _, store, plan = begun_study(name, uri)
    if live:
        show_live(plan, store, console)
    status = study_status(plan, store)
    console.print(status_group(plan, status))
    if status.pending and not status.working:
        console.print("· Nobody is at work here now; `scaling run` does the rest.")
