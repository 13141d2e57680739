"""scaling plan · calibrate · power · schema: before paying."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, gpu_of, load_all
from scaling.study.plan import make_plan
from scaling.study.study import Study, load_study
from scaling.yamlfile import BadFile, load


@app.command()
def plan(
    study: StudyArgument,
    store: StoreOption = "",
    gpu: Annotated[
        str | None, typer.Option(help="Plan for this GPU; the study's own if absent.")
    ] = None,
    gpus: Annotated[
        int,
        typer.Option(help="Devices at once, for the makespan; max_devices of the study.", min=0),
    ] = 0,
    prices: Annotated[
        Path | None, typer.Option(help="YAML with `dated` and `dollars_per_hour` by GPU.")
    ] = None,
    steps: Annotated[bool, typer.Option("--steps", help="List every step.")] = False,
) -> None:
    """The grid: cells, unique steps, fit, hours, dollars, makespan, and what is done. Starts
    nothing.
    """
    from scaling.data.manifest import defect_notes, staged_tasks
    from scaling.planning.calibration import measured_on, read_calibrations
    from scaling.planning.forecast import Prices, forecast
    from scaling.show import plan_notes, plan_table
    from scaling.store.pending import pending_steps

    spec, place, whole = load_all(study, store)
    device, sizes = gpu_of(spec, gpu), place.read_sizes()
    table = load(Prices, prices)[0] if prices is not None else None
    measured = measured_on(read_calibrations(place), device)
    found = forecast(whole, sizes, device, measured, gpus or spec.max_devices, table)
    console.print(plan_table(whole, found))
    for note in [*plan_notes(whole, sizes, found), *defect_notes(staged_tasks(spec, place))]:
        console.print(f"· {note}", soft_wrap=True)
    scan = place.scan()
    done = sum(step in scan.done for step in whole.steps)
    console.print(
        f"· Store {place.uri}: {done:,} steps done, {len(pending_steps(whole, scan)):,} to run.",
        soft_wrap=True,
    )
    if steps:
        for step in whole.steps.values():
            mark = "done " if step.id in scan.done else "     "
            console.print(f"{mark}{step.id}  ← {step.parent or 'pretrained'}", soft_wrap=True)


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
    from scaling.calibrate import calibrate as measure

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


@app.command()
def power(
    study: StudyArgument,
    effect: Annotated[
        float, typer.Option(help="Slope to be detected, points per tenfold scale.")
    ] = 1.0,
    wanted: Annotated[float, typer.Option(help="Power that is wanted.", min=0.05, max=0.99)] = 0.8,
    pilot: Annotated[
        Path | None, typer.Option(help="rows.parquet of a pilot, to estimate the noise from.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU whose prices the advice uses.")] = None,
) -> None:
    """Before paying: what so many seeds can detect, the seeds for a wanted power, where one more
    pays most.
    """
    from analysis.load import load_tidy
    from analysis.power import Ledger, next_seeds, planned_grid, seeds_needed
    from analysis.results import analyse
    from scaling.catalogue.languages import get_language
    from scaling.planning.forecast import forecast
    from scaling.show import power_table

    spec = load_study(study)
    whole = make_plan(spec)
    ledger = analyse(load_tidy([pilot]), spec.question).ledger if pilot is not None else Ledger()
    found = forecast(whole, {}, gpu_of(spec, gpu), {})
    lines = found.sizes
    for line in lines:
        if line.problem:
            raise ValueError(line.problem)
    scale = {
        "total_params": lambda name: spec.model(name).total_params,
        "backbone_params": lambda name: spec.model(name).backbone_params,
        "train_flops": lambda name: next(line.flops for line in lines if line.model == name),
    }[spec.question.x_axis]
    x = np.log10([float(scale(name)) for name in spec.models])
    if len(x) < 2:
        raise BadFile(f"{study}: {spec.models[0]} alone has no slope; power needs two sizes")
    # A target without low-resource languages adds nothing to their pooled slope.
    counts = [
        sum(get_language(code).tier in ("unseen", "low") for code in spec.test_languages(t))
        for t in spec.targets
    ]
    arms, targets = max(1, len(spec.arms) - 1), max(1, sum(count > 0 for count in counts))
    languages = max(1, round(sum(counts) / targets))
    shape = {"arms": arms, "targets": targets, "low-resource languages each": languages}
    grid = planned_grid(ledger, x, arms=arms, targets=targets, languages=languages)
    console.print(power_table(grid, spec.name, shape, "a pilot" if pilot else "assumed variances"))
    sd = grid[0]["replica_sd"]
    needed = seeds_needed(effect, sd, x, wanted)
    console.print(
        f"· {needed or 'more than 200'} seeds per size detect {effect:g} points per tenfold with"
        f" power {wanted:g}."
    )
    hour = 1.0 if found.gpu is None else found.gpu.dollars_per_hour
    per_seed = [line.device_hours * hour / len(spec.seeds) for line in lines]
    unit = "device hours" if found.gpu is None else "$"
    start = [len(spec.seeds)] * len(x)
    for advice in next_seeds([sd] * len(x), x, start, per_seed, list(spec.models), unit):
        console.print(
            f"· next: one more seed at {advice.size} (has {advice.seeds_before}) cuts the slope's"
            f" variance by {advice.variance_cut:.1%} for {advice.cost:,.3g} {advice.unit}",
            soft_wrap=True,
        )


@app.command()
def schema(
    out: Annotated[Path | None, typer.Argument(help="File; standard output if absent.")] = None,
) -> None:
    """JSON schema of a study file, for editors."""
    text = json.dumps(Study.model_json_schema(), indent=1, sort_keys=True) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)
