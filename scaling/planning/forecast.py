"""What a whole study takes, before anything is paid for: fit, hours, dollars, files, makespan.

Needs neither torch nor ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from scaling.catalogue.hardware import GEMM_SHARE, PRICES_DATED, GpuSpec, Placement
from scaling.planning.calibration import Calibration
from scaling.planning.memory import Memory, memory
from scaling.planning.placement import fullest, given_misfit, layouts, model_placements
from scaling.planning.queue import ReadyQueue
from scaling.planning.saving import planned_save_seconds
from scaling.planning.simulate import lower_bound, simulate
from scaling.planning.speed import step_seconds
from scaling.spec import Spec, UserError, known
from scaling.study.flops import Sizes, step_flops
from scaling.study.steps import Plan
from scaling.study.study import Study


class Prices(Spec):
    """A price table of your own: `dated: 2026-12`, `dollars_per_hour: {h100-80: 2.5}`."""

    dated: str
    dollars_per_hour: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(min_length=1)

    def of(self, gpu: GpuSpec) -> float:
        """Dollars of one GPU and hour; UserError if the table has none."""
        return self.dollars_per_hour[
            known("GPU in the price table", gpu.name, self.dollars_per_hour)
        ]


@dataclass(frozen=True, kw_only=True)
class SizeForecast:
    """One size of a study."""

    model: str
    layouts: Mapping[str, tuple[str, ...]]
    """How trainings are placed → the tasks that are, the most tasks first.

    Empty if the size fits nowhere.
    """
    problem: str
    """Why it does not fit and what would help; '' if it does. Such a size has no hours."""
    peak: Memory | None
    """Of the training that fills a device most."""
    peak_task: str
    cells: int
    steps: int
    flops: float
    device_hours: float
    alone_device_hours: float
    """If every cell ran its own trainings."""
    checkpoint_bytes: float
    """Of one training's weights."""
    resume_bytes: float
    """Of one resume point, all ranks together."""
    save_seconds: float
    """Of sending a resume point, in the gang that takes longest; 0 without trainings."""
    basis: str
    """Where the speed comes from."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a study takes, by size and in all."""

    sizes: tuple[SizeForecast, ...]
    gpu: GpuSpec | None
    dollars_per_hour: float | None
    """Of one device; None if nothing says what it costs."""
    price_source: str
    """Where that comes from, as the start of a sentence; '' where it is None."""
    devices: int
    """0: no makespan was asked for."""
    makespan_seconds: float
    bound_seconds: float

    def dollars(self, device_hours: float) -> float | None:
        """What so many device hours cost; None if nothing says what a device costs."""
        return None if self.dollars_per_hour is None else device_hours * self.dollars_per_hour


def forecast(
    plan: Plan,
    sizes: Sizes,
    gpu: GpuSpec | None,
    measured: Mapping[str, Calibration],
    devices: int = 0,
    prices: Prices | None = None,
) -> Forecast:
    """Every size of the plan, and the study's makespan on so many devices.

    Args:
        plan: What is to run.
        sizes: Sequences and tokens as staged; empty before staging.
        gpu: The device that is planned for; None for CPUs.
        measured: Calibrations of that device, by model.
        devices: Devices at once, for the makespan; 0 asks for none.
        prices: A price table of the user's. UserError if it does not have the GPU.
    """
    price, source = _price(plan.study, gpu, prices)
    placed = {name: _placed(plan, name, gpu, sizes) for name in plan.models}
    lines = tuple(_size(plan, name, *placed[name], sizes, gpu, measured) for name in plan.models)
    fits = {
        step: one
        for chosen, problem in placed.values()
        if not problem
        for step, one in chosen.items()
    }
    makespan, bound = (
        _makespan(plan, fits, sizes, gpu, measured, devices) if devices and fits else (0.0, 0.0)
    )
    return Forecast(
        sizes=lines,
        gpu=gpu,
        dollars_per_hour=price,
        price_source=source,
        devices=devices,
        makespan_seconds=makespan,
        bound_seconds=bound,
    )


def _price(study: Study, gpu: GpuSpec | None, prices: Prices | None) -> tuple[float | None, str]:
    """(dollars per device hour, where they come from).

    A table that is given with the command comes first, then what the study says it pays, then the
    table of GPUs. The study speaks of its own GPU only: asked about another, it has no price.
    """
    if gpu is not None and prices is not None:
        return prices.of(gpu), f"Prices dated {prices.dated}: {gpu.name}"
    own = gpu is None or study.gpu in (None, gpu.name)
    if own and study.dollars_per_device_hour is not None:
        return study.dollars_per_device_hour, "The study's own price of a device:"
    if gpu is None:
        return None, ""
    return gpu.dollars_per_hour, f"Prices dated {PRICES_DATED}: {gpu.name}"


def _placed(
    plan: Plan, name: str, gpu: GpuSpec | None, sizes: Sizes
) -> tuple[dict[str, Placement], str]:
    """(placements of a size's steps, why it does not fit); no placements where nothing fits."""
    try:
        chosen = model_placements(plan, name, gpu, sizes)
    except UserError as error:
        return {}, str(error)
    return chosen, given_misfit(plan, name, chosen, gpu, sizes)


def _size(
    plan: Plan,
    name: str,
    chosen: Mapping[str, Placement],
    problem: str,
    sizes: Sizes,
    gpu: GpuSpec | None,
    measured: Mapping[str, Calibration],
) -> SizeForecast:
    model = plan.study.model(name)
    steps = {step.id: step for step in plan.steps.values() if step.model == name}
    cells = [cell for cell in plan.cells if cell.model == name]
    # Devices and seconds of each step.
    device_seconds = {
        step.id: (
            0.0
            if problem
            else chosen[step.id].devices
            * step_seconds(plan, step, sizes, chosen[step.id], gpu, measured)
        )
        for step in steps.values()
    }
    alone = sum(
        device_seconds[step]
        for cell in cells
        for step in (*cell.intermediate, *cell.trained, cell.scored)
    )
    most = fullest(plan, name, chosen, sizes, gpu=gpu is not None) if chosen else None
    width = 2 if any(step.recipe.precision == "bf16" for step in steps.values()) else 4
    return SizeForecast(
        model=name,
        layouts=layouts(plan, name, chosen) if chosen else {},
        problem=problem,
        cells=len(cells),
        steps=len(steps),
        peak=memory(model, *most[1:], gpu=gpu is not None) if most else None,
        peak_task=most[0] if most else "",
        flops=sum(step_flops(plan, step, sizes) for step in steps.values()),
        device_hours=sum(device_seconds.values()) / 3600,
        alone_device_hours=alone / 3600,
        checkpoint_bytes=float(width * model.total_params),
        resume_bytes=(12.0 + width) * model.total_params,
        save_seconds=max(
            (
                planned_save_seconds(model.total_params, chosen[step.id].workers)
                for step in steps.values()
                if step.action == "train" and chosen
            ),
            default=0.0,
        ),
        basis=_basis(plan, name, gpu, measured),
    )


def _basis(plan: Plan, name: str, gpu: GpuSpec | None, measured: Mapping[str, Calibration]) -> str:
    if name in measured:
        calibration = measured[name]
        return (
            f"{name}: {calibration.flops_per_second / 1e12:.3g} TFLOP/s a worker, measured on"
            f" {calibration.device} {calibration.measured_at}"
        )
    if gpu is None:
        return f"{name}: speed of a CPU worker assumed"
    return (
        f"{name}: {GEMM_SHARE:.0%} of {gpu.name}'s {gpu.bf16_tflops:g} TFLOP/s and its bandwidths"
        " assumed, with the price of an update and of a pass"
    )


def _makespan(
    plan: Plan,
    chosen: Mapping[str, Placement],
    sizes: Sizes,
    gpu: GpuSpec | None,
    measured: Mapping[str, Calibration],
    devices: int,
) -> tuple[float, float]:
    """(makespan, lower bound) of all steps that have a placement, on whole nodes."""
    node = gpu.devices_per_node if gpu else devices
    nodes = [min(node, devices - start) for start in range(0, devices, node)]
    largest = max(placement.workers for placement in chosen.values())
    if largest > devices:
        raise UserError(
            f"--gpus {devices}: a gang of {largest} never starts; give at least as many"
        )
    pending = [step for step in plan.steps if step in chosen]
    queue = ReadyQueue(
        plan=plan,
        nodes=nodes,
        pending=pending,
        placements=chosen,
        seconds={
            step: step_seconds(plan, plan.steps[step], sizes, chosen[step], gpu, measured)
            for step in pending
        },
    )
    bound = lower_bound(queue)
    return simulate(queue).makespan, bound
