"""What steps cost before they run: tokens → FLOPs → seconds. Every number names its assumption."""

from __future__ import annotations

from collections.abc import Mapping

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
    """Model FLOPs of a gang, as measured, else the GPU's peak times the assumed utilisation.

    Args:
        plan: Whose models.
        step: What runs.
        placement: How it is laid out.
        gpu: The device; None for CPUs.
        measured: Calibrations of that device, by model.
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
    """Estimated seconds of a step in a warm worker group, with half a second to load and commit.

    Args:
        plan: Whose models.
        step: What runs.
        sizes: Sequences and tokens as staged; empty before staging.
        placement: How it is laid out.
        gpu: The device; None for CPUs.
        measured: Calibrations of that device, by model.
    """
    return (
        step_flops(plan, step, sizes) / flops_per_second(plan, step, placement, gpu, measured) + 0.5
    )


def pace(took: float, estimated: float) -> float:
    """How many times longer something took than was estimated; 1 where nothing was."""
    return took / estimated if estimated > 0 else 1.0


def paces(
    plan: Plan,
    records: Mapping[str, StepRecord],
    sizes: Sizes,
    chosen: Mapping[str, Placement],
    gpu: GpuSpec | None,
    measured: Measured | None = None,
) -> dict[str, float]:
    """Model → `pace` of its finished steps; of the whole study's where it has none.

    Args:
        plan: What the steps are of.
        records: Finished steps. Those that ran on other devices than `gpu` do not count.
        sizes: Sequences and tokens as staged, for the estimates.
        chosen: Placements by step, for the estimates.
        gpu: The device that is planned for; None for CPUs.
        measured: Calibrations of that device, by model.
    """
    took: dict[str, float] = {}
    estimated: dict[str, float] = {}
    for name, record in records.items():
        if (record.cost.device == "cpu") == (gpu is None):
            step = plan.steps[name]
            seconds = step_seconds(plan, step, sizes, chosen[name], gpu, measured)
            took[step.model] = took.get(step.model, 0.0) + record.cost.wall_seconds
            estimated[step.model] = estimated.get(step.model, 0.0) + seconds
    of_study = pace(sum(took.values()), sum(estimated.values()))
    return {
        model: pace(took[model], estimated[model]) if model in took else of_study
        for model in plan.study.models
    }
