"""scaling explain: one step, from the store."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, open_study, step_called


@app.command()
def explain(
    name: StudyArgument,
    part: Annotated[
        str, typer.Argument(metavar="STEP", help="A step's id, or any part of it that is unique.")
    ],
    uri: StoreOption = "",
) -> None:
    """One step: what it is made from, why it is pending or runs again, its tries and failures."""
    from scaling.planning.progress import attempts_of, why_pending
    from scaling.store.failures import failures_of
    from scaling.store.logs import log_lines
    from scaling.store.paths import StepFolder

    _, store, plan = open_study(name, uri)
    step = step_called(plan, part)
    identity = plan.steps[step].identity
    console.print_json(json.dumps(dict(identity)))
    console.print(why_pending(plan, step, store.scan()), soft_wrap=True)
    for attempt in attempts_of(store, step):
        console.print(f"attempt {attempt.owner}  {attempt.what}", soft_wrap=True)
    failures = failures_of(store, step)
    for failure in failures:
        console.print(f"failed  {failure}", soft_wrap=True)
    for line in log_lines(store, step)[-20:] if failures else ():
        console.print(f"   {line}", soft_wrap=True)
    if store.is_done(step):
        console.print_json(store.read(StepFolder(step).record).decode())
