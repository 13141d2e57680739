"""scaling cancel: stop a study."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, TokenOption, app, begun_store, console
from scaling.study.study import load_study


@app.command()
def cancel(
    name: StudyArgument,
    uri: StoreOption = "",
    address: Annotated[
        str, typer.Option("--address", help="URL of the Ray dashboard: stop the job there.")
    ] = "",
    send_token_to: TokenOption = "",
    now: Annotated[
        bool, typer.Option("--now", help="End running steps too; they resume from resume points.")
    ] = False,
) -> None:
    """Stop a study: by a request in its store that its driver reads, or as a job (--address)."""
    study = load_study(name)
    if address:
        from scaling.cluster.submit import cancel as cancel_jobs

        stopped = cancel_jobs(address, study.name, send_token_to=send_token_to)
        console.print(
            f"stopped {', '.join(stopped)}"
            if stopped
            else f"no job of {study.name!r} is running there"
        )
        return
    from scaling.store.leases import working
    from scaling.store.stop import ask_to_stop

    store = begun_store(study, uri)
    ask_to_stop(store, now=now)
    if working(store, store.leases().values()):
        console.print(f"asked in {store.uri}; a driver looks every few seconds", soft_wrap=True)
        return
    # A driver that has just begun holds no lease yet.
    console.print(
        f"nobody is at work in {store.uri}: unless a driver is just starting, there is nothing to"
        " stop. The request stops no run that begins later",
        soft_wrap=True,
    )
