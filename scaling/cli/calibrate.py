"""scaling calibrate: real updates on this machine, for later plans."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, gpu_of, open_study


@app.command()
def calibrate(
    name: StudyArgument,
    uri: StoreOption = "",
    gpu: Annotated[
        str | None, typer.Option(help="The GPU of this machine; the study's own if absent.")
    ] = None,
    updates: Annotated[
        int, typer.Option(help="Updates that are timed, after two that are not.", min=1)
    ] = 6,
) -> None:
    """A few real updates per size on this machine: speed and memory, for `plan` and its hours."""
    from scaling.training.measure import calibrate as measure

    study, store, plan = open_study(name, uri)
    for model, speed in measure(plan, store, gpu_of(study, gpu), updates):
        if isinstance(speed, str):
            console.print(f"{model}: not measured: {speed}", soft_wrap=True)
            continue
        console.print(
            f"{model}: {speed.flops_per_second / 1e9:,.1f} GFLOP/s a worker,"
            f" {speed.tokens_per_second:,.0f} tokens/s, {speed.peak_bytes / 2**30:.2f} GiB"
            f" (predicted {speed.predicted_bytes / 2**30:.2f}) on {speed.device}",
            soft_wrap=True,
        )
