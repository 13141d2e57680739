"""scaling logs: what the workers said, from the store."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all
from scaling.spec import known


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
