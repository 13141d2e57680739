"""scaling cancel: stop a study."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, open_store
from scaling.study.study import load_study


@app.command()
def cancel(
    study: StudyArgument,
    store: StoreOption = "",
    address: Annotated[
        str, typer.Option("--address", help="URL of the Ray dashboard: stop the job there.")
    ] = "",
    now: Annotated[
        bool, typer.Option("--now", help="End running steps too; they resume from resume points.")
    ] = False,
) -> None:
    """Stop a study. Without an address: its driver reads the request in the store, and starts
    nothing more.
    """
    spec = load_study(study)
    if address:
        from scaling.cluster.submit import cancel as cancel_jobs

        stopped = cancel_jobs(address, spec.name)
        console.print(
            f"stopped {', '.join(stopped)}"
            if stopped
            else f"no job of {spec.name!r} is running there"
        )
        return
    from scaling.store.stop import ask_to_stop

    place = open_store(spec, store)
    place.check_study(spec.name)
    ask_to_stop(place, now=now)
    console.print(f"asked in {place.uri}; a driver looks every few seconds", soft_wrap=True)
