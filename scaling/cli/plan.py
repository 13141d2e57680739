"""scaling plan: before paying."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from scaling.catalogue.hardware import GIB, GpuSpec
from scaling.cli.app import (
    JsonOption,
    OnlyOption,
    StoreOption,
    StudyArgument,
    app,
    console,
    gpu_of,
    open_study,
)
from scaling.cli.tables import FoldedTable
from scaling.planning.forecast import Forecast, SizeForecast
from scaling.planning.memory import USABLE
from scaling.spec import load
from scaling.store.store import Scan, Store
from scaling.study.part import part_of
from scaling.study.steps import Plan
from scaling.study.study import MOST_DEVICES


@app.command()
def plan(
    name: StudyArgument,
    uri: StoreOption = "",
    gpu: Annotated[
        str | None, typer.Option(help="Plan for this GPU; the study's own if absent.")
    ] = None,
    gpus: Annotated[
        int,
        typer.Option(
            help="Devices at once, for the makespan; max_devices of the study.",
            min=0,
            max=MOST_DEVICES,
        ),
    ] = 0,
    prices: Annotated[
        Path | None, typer.Option(help="YAML with `dated` and `dollars_per_hour` by GPU.")
    ] = None,
    only: OnlyOption = None,
    list_steps: Annotated[bool, typer.Option("--steps", help="List every step.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The grid: cells, unique steps, fit, hours, dollars, makespan, what is done. Runs nothing."""
    from scaling.cli.plan_notes import plan_notes
    from scaling.data.manifest import defect_notes, staged_tasks
    from scaling.planning.calibration import measured_on, read_calibrations
    from scaling.planning.forecast import Prices, forecast
    from scaling.store.pending import pending_steps

    study, store, plan = open_study(name, uri)
    plan = part_of(plan, only or ()).of(plan)
    device, sizes = gpu_of(study, gpu), store.read_sizes()
    table = load(Prices, prices)[0] if prices is not None else None
    measured = measured_on(read_calibrations(store), device)
    outlook = forecast(plan, sizes, device, measured, gpus or study.max_devices, table)
    notes = [*plan_notes(plan, sizes, outlook), *defect_notes(staged_tasks(study, store))]
    scan = store.scan()
    if as_json:
        _print_json(plan, store, scan, outlook, notes, list_steps=list_steps)
        return
    console.print(plan_table(plan, outlook))
    for note in notes:
        console.print(f"· {note}", soft_wrap=True)
    done = sum(step in scan.done for step in plan.steps)
    console.print(
        f"· Store {store.uri}: {done:,} steps done, {len(pending_steps(plan, scan)):,} to run.",
        soft_wrap=True,
    )
    if list_steps:
        for step in plan.steps.values():
            mark = "done " if step.id in scan.done else "     "
            console.print(f"{mark}{step.id}  ← {step.parent or 'pretrained'}", soft_wrap=True)


def _print_json(
    plan: Plan, store: Store, scan: Scan, outlook: Forecast, notes: list[str], *, list_steps: bool
) -> None:
    """Print all of it as one object.

    Args:
        plan: What is forecast.
        store: What is done of it.
        scan: A listing of the store.
        outlook: The forecast.
        notes: What stands below the table.
        list_steps: Whether every step is in it.
    """
    from scaling.cli.outputs import PlannedSize, PlannedStep, PlanOutput, print_json
    from scaling.store.pending import pending_steps

    sizes = [
        PlannedSize(
            model=line.model,
            total_params=plan.study.model(line.model).total_params,
            placements={layout: list(tasks) for layout, tasks in line.layouts.items()},
            problem=line.problem,
            peak_bytes=None if line.peak is None else line.peak.total,
            peak_task=line.peak_task,
            cells=line.cells,
            steps=line.steps,
            flops=line.flops,
            device_hours=None if line.problem else line.device_hours,
            dollars=None if line.problem else outlook.dollars(line.device_hours),
            checkpoint_bytes=line.checkpoint_bytes,
            resume_bytes=line.resume_bytes,
            basis=line.basis,
        )
        for line in outlook.sizes
    ]
    hours = sum(size.device_hours or 0.0 for size in sizes)
    steps = [
        PlannedStep(
            id=step.id,
            parent=step.parent,
            phase=step.phase,
            model=step.model,
            task=step.task,
            seed=step.seed,
            done=step.id in scan.done,
        )
        for step in plan.steps.values()
    ]
    print_json(
        PlanOutput(
            study=plan.study.name,
            store=store.uri,
            gpu=None if outlook.gpu is None else outlook.gpu.name,
            devices=outlook.devices,
            provisional=plan.provisional,
            cells=len(plan.cells),
            unique_steps=len(plan.steps),
            done=sum(step.done for step in steps),
            pending=len(pending_steps(plan, scan)),
            sizes=sizes,
            device_hours=hours,
            dollars=outlook.dollars(hours),
            dollars_per_hour=outlook.dollars_per_hour,
            price_source=outlook.price_source,
            makespan_seconds=outlook.makespan_seconds if outlook.devices else None,
            bound_seconds=outlook.bound_seconds if outlook.devices else None,
            notes=notes,
            steps=steps if list_steps else None,
        )
    )


def plan_table(plan: Plan, outlook: Forecast) -> FoldedTable:
    """One line per model: parameters, placement, memory, FLOPs, device hours, dollars."""
    table = FoldedTable(
        ("model", "params", "placement", "GiB", "PFLOP", "hours", "dollars"),
        title=f"{plan.study.name}: {len(plan.cells):,} cells, {len(plan.steps):,} unique steps",
        right=("params", "GiB", "PFLOP", "hours", "dollars"),
    )
    for line in outlook.sizes:
        fits, dollars = not line.problem, outlook.dollars(line.device_hours)
        table.add_row(
            line.model,
            f"{plan.study.model(line.model).total_params / 1e6:,.0f} M",
            next(iter(line.layouts), Text("does not fit", "red")),
            _peak(line, outlook.gpu),
            f"{line.flops / 1e15:,.0f}",
            f"{line.device_hours:,.1f}" if fits else "-",
            f"{dollars:,.0f}" if fits and dollars is not None else "-",
        )
    table.add_section()
    hours = sum(line.device_hours for line in outlook.sizes if not line.problem)
    dollars = outlook.dollars(hours)
    table.add_row(
        "all",
        "",
        "",
        "",
        f"{sum(line.flops for line in outlook.sizes) / 1e15:,.0f}",
        f"{hours:,.1f}",
        f"{dollars:,.0f}" if dollars is not None else "-",
    )
    return table


def _peak(line: SizeForecast, gpu: GpuSpec | None) -> str:
    if line.peak is None:
        return "-"
    need = f"{line.peak.total / GIB:,.1f}"
    return need if gpu is None else f"{need}/{USABLE * gpu.memory_gib:,.1f}"
