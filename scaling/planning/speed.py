"""What steps cost before they run: tokens → FLOPs → seconds → dollars. Every number carries its
assumption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scaling.catalogue.hardware import CPU_FLOPS, GpuSpec, Placement, mfu
from scaling.planning.calibration import Calibration
from scaling.planning.placement import burden
from scaling.store.records import StepRecord
from scaling.study.flops import Sizes, step_flops
from scaling.study.steps import Plan, Step

# What was measured on the device that is planned for, by model.
Measured = Mapping[str, Calibration]


def flops_per_second(
    plan: Plan,
    step: Step,
    placement: Placement,
    gpu: GpuSpec | None,
    measured: Measured | None = None,
) -> float:
    """Model FLOPs of the whole gang: measured on this device, else the GPU's peak times the assumed
    utilisation.
    """
    known, load = (measured or {}).get(step.model), burden(placement, scoring=step.action == "eval")
    if known is not None:
        # Another placement than the measured one is faster or slower by what is assumed of both.
        return known.flops_per_second * placement.workers * burden(known.placement) / load
    if gpu is None:
        return CPU_FLOPS * placement.workers
    return gpu.bf16_tflops * 1e12 * mfu(plan.study.model(step.model)) * placement.workers / load


def step_seconds(
    plan: Plan,
    step: Step,
    sizes: Sizes,
    placement: Placement,
    gpu: GpuSpec | None,
    measured: Measured | None = None,
) -> float:
    """Estimated seconds of a step in a warm worker group; half a second for loading and
    committing.
    """
    return (
        step_flops(plan, step, sizes) / flops_per_second(plan, step, placement, gpu, measured) + 0.5
    )


def paces(
    plan: Plan,
    records: Mapping[str, StepRecord],
    sizes: Sizes,
    chosen: Mapping[str, Placement],
    gpu: GpuSpec | None,
    measured: Measured | None = None,
) -> dict[str, float]:
    """Model → how many times longer its finished steps took than was estimated; the study's, then
    1, where none did.

    `chosen`: by step. Steps that ran on other devices than are planned for do not count.
    """
    took: dict[str, list[tuple[float, float]]] = {}
    for name, record in records.items():
        if (record.cost.device == "cpu") == (gpu is None):
            step = plan.steps[name]
            estimated = step_seconds(plan, step, sizes, chosen[name], gpu, measured)
            took.setdefault(step.model, []).append((record.cost.wall_seconds, estimated))

    def ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
        wall, estimated = (
            map(sum, zip(*pairs, strict=True)) if (pairs := list(pairs)) else (0.0, 0.0)
        )
        return wall / estimated if estimated else None

    whole = ratio(pair for pairs in took.values() for pair in pairs) or 1.0
    return {model: ratio(took.get(model, ())) or whole for model in plan.study.models}
