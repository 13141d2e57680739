"""scaling status · explain · logs · cancel: from the store, with or without a job alive."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all, open_store
from scaling.spec import known
from scaling.study.study import load_study


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
    from scaling.planning.progress import study_status
    from scaling.show import show_live, status_group

    _, place, whole = load_all(study, store)
    if live:
        show_live(whole, place, console)
    console.print(status_group(whole, study_status(whole, place)))


@app.command()
def explain(study: StudyArgument, step: str, store: StoreOption = "") -> None:
    """One step: what it is made from, why it is pending or runs again, its attempts, why they
    failed.
    """
    from scaling.planning.progress import attempts_of, failure_of, why_pending
    from scaling.store.logs import log_lines

    _, place, whole = load_all(study, store)
    found = whole.steps[known("step", step, whole.steps)]
    console.print_json(json.dumps(dict(found.identity)))
    console.print(why_pending(whole, step, place.scan()), soft_wrap=True)
    for attempt in attempts_of(place, step):
        console.print(f"attempt {attempt.owner}  {attempt.what}", soft_wrap=True, markup=False)
    failures = failure_of(place, step)
    for line in failures:
        console.print(f"failed  {line}", soft_wrap=True, markup=False)
    for line in log_lines(place, step)[-20:] if failures else ():
        console.print(f"   {line}", soft_wrap=True, markup=False)
    if place.exists(f"steps/{step}/record.json"):
        console.print_json(place.read(f"steps/{step}/record.json").decode())


@app.command()
def logs(
    study: StudyArgument,
    step: Annotated[str, typer.Argument(help="Only lines about this step.")] = "",
    store: StoreOption = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="The last so many.")] = 100,
) -> None:
    """What the workers said, as far as the store has it: the tail of every worker group's log."""
    from scaling.store.logs import log_lines

    _, place, whole = load_all(study, store)
    if step:
        known("step", step, whole.steps)
    found = log_lines(place, step or None)[-lines:]
    for line in found:
        console.print(line, soft_wrap=True, markup=False)
    if not found:
        console.print(
            f"{place.uri} has no log lines{f' of {step}' if step else ''}", soft_wrap=True
        )


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
