"""scaling logs: what the workers said, from the store."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, begun_study, console
from scaling.spec import known


@app.command()
def logs(
    name: StudyArgument,
    step: Annotated[str, typer.Argument(help="Only lines about this step.")] = "",
    uri: StoreOption = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="The last so many.")] = 100,
) -> None:
    """What the workers said, as far as the store has it: the tail of every worker group's log."""
    from scaling.store.logs import log_lines

    _, store, plan = begun_study(name, uri)
    if step:
        known("step", step, plan.steps)
    shown = log_lines(store, step or None)[-lines:]
    for line in shown:
        console.print(line, soft_wrap=True)
    if not shown:
        console.print(
            f"{store.uri} has no log lines{f' of {step}' if step else ''}", soft_wrap=True
        )
