"""scaling status: from the store, with or without a job alive."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import (
    JsonOption,
    OnlyOption,
    StoreOption,
    StudyArgument,
    app,
    begun_study,
    console,
)
from scaling.planning.progress import Status
from scaling.spec import UserError
from scaling.store.store import Store
from scaling.study.part import part_of
from scaling.study.steps import Plan


@app.command()
def status(
    name: StudyArgument,
    uri: StoreOption = "",
    live: Annotated[
        bool, typer.Option("--live", help="Show it until the study is done; ends with Ctrl-C.")
    ] = False,
    only: OnlyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Done, running, failed, collapsed, time left, dollars, where time went: by the store alone."""
    from scaling.cli.live import show_live, status_group
    from scaling.planning.progress import study_status

    if live and as_json:
        raise UserError("--json is one look, and --live looks again and again")
    _, store, plan = begun_study(name, uri)
    plan = part_of(plan, only or ()).of(plan)
    if live:
        show_live(plan, store, console)
    status = study_status(plan, store)
    if as_json:
        _print_json(plan, store, status)
        return
    console.print(status_group(plan, status))
    if status.pending and not status.working:
        console.print("· Nobody is at work here now; `scaling run` does the rest.")


def _print_json(plan: Plan, store: Store, status: Status) -> None:
    """Print all of it as one object."""
    from scaling.cli.live import size_statuses
    from scaling.cli.outputs import StatusOutput, WorkingStep, print_json

    print_json(
        StatusOutput(
            study=plan.study.name,
            store=store.uri,
            steps=len(plan.steps),
            done=sum(status.done.values()),
            pending=len(status.pending),
            sizes=size_statuses(plan, status),
            working=[
                WorkingStep(
                    step=item.step,
                    owner=item.owner,
                    age_seconds=item.age_seconds,
                    done=item.progress.get("done"),
                    total=item.progress.get("total"),
                )
                for item in status.working
            ],
            eta_seconds=status.eta_seconds,
            seconds=status.seconds,
            dollars=status.dollars,
            budget_dollars=plan.study.budget_dollars,
            store_bytes=status.num_bytes,
        )
    )
