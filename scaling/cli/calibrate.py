"""scaling calibrate: real updates on this machine, for later plans."""

from __future__ import annotations

from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, gpu_of, load_all


@app.command()
def calibrate(
    study: StudyArgument,
    store: StoreOption = "",
    gpu: Annotated[
        str | None, typer.Option(help="The GPU of this machine; the study's own if absent.")
    ] = None,
    updates: Annotated[
        int, typer.Option(help="Updates that are timed, after two that are not.", min=1)
    ] = 6,
) -> None:
    """A few real updates per size on this machine: speed and memory, for `plan` and its hours."""
    from scaling.training.measure import calibrate as measure

    spec, place, whole = load_all(study, store)
    for name, found in measure(whole, place, gpu_of(spec, gpu), updates):
        if isinstance(found, str):
            console.print(f"{name}: not measured: {found}", soft_wrap=True)
            continue
        console.print(
            f"{name}: {found.flops_per_second / 1e9:,.1f} GFLOP/s a worker,"
            f" {found.tokens_per_second:,.0f} tokens/s, {found.peak_bytes / 2**30:.2f} GiB"
            f" (predicted {found.predicted_bytes / 2**30:.2f}) on {found.device}",
            soft_wrap=True,
        )
