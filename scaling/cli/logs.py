"""scaling logs: what the workers said, from the store."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, begun_study, console, step_called


@app.command()
def logs(
    name: StudyArgument,
    part: Annotated[
        str,
        typer.Argument(
            metavar="[STEP]", help="Only lines about this step: its id, or a unique part of it."
        ),
    ] = "",
    uri: StoreOption = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="The last so many.")] = 100,
) -> None:
    """What the workers said, as far as the store has it: the tail of every worker group's log."""
    from scaling.store.logs import log_lines

    _, store, plan = begun_study(name, uri)
    step = step_called(plan, part) if part else None
    shown = log_lines(store, step)[-lines:]
    for line in shown:
        console.print(line, soft_wrap=True)
    if not shown:
        console.print(
            f"{store.uri} has no log lines{f' of {step}' if step else ''}", soft_wrap=True
        )
