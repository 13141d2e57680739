"""What a whole study takes before anything is paid for: fit, hours, dollars, files, makespan. No torch, no ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from scaling.calibration import Calibration
from scaling.estimate import Sizes, hungriest, placement_for, step_flops, step_seconds
from scaling.hardware import PRICES_DATED, GpuSpec, Placement, mfu
from scaling.memory import Memory, memory, misfit
from scaling.plan import Plan
from scaling.queue import ReadyQueue
from scaling.simulate import lower_bound, simulate
from scaling.spec import Spec, known


class Prices(Spec):
    """A price table of your own: `dated: 2026-12`, `dollars_per_hour: {h100-80: 2.5}`."""

    dated: str
    dollars_per_hour: dict[str, float] = Field(min_length=1)

    def of(self, gpu: GpuSpec) -> GpuSpec:
        """The GPU at this table's price; ValueError if it has none."""
        name = known("GPU in the price table", gpu.name, self.dollars_per_hour)
        return gpu.model_copy(update={"dollars_per_hour": self.dollars_per_hour[name]})


@dataclass(frozen=True, kw_only=True)
class SizeForecast:
    """One size of a study."""

    model: str
    placement: Placement | None
    """None: it fits nowhere."""
    problem: str
    """Why it does not fit and what would help; '' if it does."""
    peak: Memory | None
    """Of the most demanding training."""
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
    basis: str
    """Where the speed comes from."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    sizes: tuple[SizeForecast, ...]
    gpu: GpuSpec | None
    prices_dated: str
    devices: int
    """0: no makespan was asked for."""
    makespan_seconds: float
    bound_seconds: float

    def dollars(self, device_hours: float) -> float | None:
        return None if self.gpu is None else device_hours * self.gpu.dollars_per_hour


def forecast(
    plan: Plan,
    sizes: Sizes,
    gpu: GpuSpec | None,
    measured: Mapping[str, Calibration],
    devices: int = 0,
    prices: Prices | None = None,
) -> Forecast:
    """Every size of the plan, and the study's makespan on so many devices. ValueError for a GPU without a price."""
    if gpu is not None and prices is not None:
        gpu = prices.of(gpu)
    found = tuple(_size(plan, name, sizes, gpu, measured) for name in plan.study.models)
    chosen = {one.model: one.placement for one in found if one.placement is not None}
    makespan, bound = _makespan(plan, sizes, gpu, measured, chosen, devices) if devices and chosen else (0.0, 0.0)
    return Forecast(
        sizes=found, gpu=gpu, prices_dated=prices.dated if prices else PRICES_DATED, devices=devices,
        makespan_seconds=makespan, bound_seconds=bound,
    )  # fmt: skip


def _size(
    plan: Plan, name: str, sizes: Sizes, gpu: GpuSpec | None, measured: Mapping[str, Calibration]
) -> SizeForecast:
    study, model = plan.study, plan.study.model(name)
    steps = {step.id: step for step in plan.steps.values() if step.model == name}
    cells = [cell for cell in plan.cells if cell.model == name]
    recipe, masked = hungriest(study)
    placement, problem = None, ""
    try:
        placement = placement_for(study, name, gpu)
        if gpu is not None and (wrong := misfit(model, recipe, placement, gpu, masked=masked)):
            problem = f"{name}, placed as the study says, {wrong}"
    except ValueError as error:
        problem = str(error)
    seconds = (
        {step.id: step_seconds(plan, step, sizes, placement, gpu, measured) for step in steps.values()}
        if placement is not None else dict.fromkeys(steps, 0.0)
    )  # fmt: skip
    workers = placement.workers if placement is not None else 0
    alone = sum(seconds[step] for cell in cells for step in (*cell.intermediate, *cell.trained, cell.scored))
    width = 2 if recipe.precision == "bf16" else 4
    return SizeForecast(
        model=name, placement=placement, problem=problem, cells=len(cells), steps=len(steps),
        peak=memory(model, recipe, placement, gpu=gpu is not None, masked=masked) if placement else None,
        flops=sum(step_flops(plan, step, sizes) for step in steps.values()),
        device_hours=sum(seconds.values()) * workers / 3600, alone_device_hours=alone * workers / 3600,
        checkpoint_bytes=float(width * model.total_params), resume_bytes=(12.0 + width) * model.total_params,
        basis=_basis(plan, name, gpu, measured),
    )  # fmt: skip


def _basis(plan: Plan, name: str, gpu: GpuSpec | None, measured: Mapping[str, Calibration]) -> str:
    if name in measured:
        one = measured[name]
        return f"{name}: {one.flops_per_second / 1e12:.3g} TFLOP/s a worker, measured on {one.device} {one.measured_at}"
    if gpu is None:
        return f"{name}: speed of a CPU worker assumed"
    return f"{name}: {mfu(plan.study.model(name)):.0%} of {gpu.name}'s {gpu.bf16_tflops:g} TFLOP/s assumed"


def _makespan(
    plan: Plan,
    sizes: Sizes,
    gpu: GpuSpec | None,
    measured: Mapping[str, Calibration],
    chosen: Mapping[str, Placement],
    devices: int,
) -> tuple[float, float]:
    """(makespan, lower bound) of all steps of the sizes that fit, on whole nodes."""
    node = gpu.devices_per_node if gpu else devices
    nodes = [min(node, devices - start) for start in range(0, devices, node)]

    largest = max(placement.workers for placement in chosen.values())
    if largest > devices:
        raise ValueError(f"--gpus {devices}: a gang of {largest} never starts; give at least as many")
    steps = [step for step in plan.steps.values() if step.model in chosen]
    queue = ReadyQueue(
        plan=plan, nodes=nodes, pending=[step.id for step in steps],
        seconds={step.id: step_seconds(plan, step, sizes, chosen[step.model], gpu, measured) for step in steps},
        workers={name: placement.workers for name, placement in chosen.items()},
    )  # fmt: skip
    bound = lower_bound(queue)
    return simulate(queue).makespan, bound
