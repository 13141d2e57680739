"""scaling explain: one step, from the store."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from scaling.cli.app import (
    JsonOption,
    StoreOption,
    StudyArgument,
    app,
    console,
    open_study,
    step_called,
)


@app.command()
def explain(
    name: StudyArgument,
    part: Annotated[
        str, typer.Argument(metavar="STEP", help="A step's id, or any part of it that is unique.")
    ],
    uri: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """One step: what it is made from, why it is pending or runs again, its tries and failures."""
    from scaling.planning.progress import attempts_of, why_pending
    from scaling.store.failures import failures_of
    from scaling.store.logs import log_lines

    study, store, plan = open_study(name, uri)
    step = step_called(plan, part)
    identity = plan.steps[step].identity
    state = why_pending(plan, step, store.scan())
    attempts, failures = attempts_of(store, step), failures_of(store, step)
    log = log_lines(store, step)[-20:] if failures else []
    record = store.record_text(step) if store.is_done(step) else None
    if as_json:
        from scaling.cli.outputs import ExplainOutput, print_json

        print_json(
            ExplainOutput(
                study=study.name,
                store=store.uri,
                step=step,
                identity=dict(identity),
                state=state,
                attempts=attempts,
                failures=[str(failure) for failure in failures],
                log=log,
                record=None if record is None else json.loads(record),
            )
        )
        return
    console.print_json(json.dumps(dict(identity)))
    console.print(state, soft_wrap=True)
    for attempt in attempts:
        console.print(f"attempt {attempt.owner}  {attempt.what}", soft_wrap=True)
    for failure in failures:
        console.print(f"failed  {failure}", soft_wrap=True)
    for line in log:
        console.print(f"   {line}", soft_wrap=True)
    if record is not None:
        console.print_json(record)
