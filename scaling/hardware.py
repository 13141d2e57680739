"""GPUs, memory, FLOPs, hours, dollars. One row adds a GPU.

Formulas: model states of ZeRO stages (Rajbhandari et al. 2020, arXiv 1910.02054) with bf16 compute and fp32
master weights and Adam moments: 16 bytes a parameter in all. Activations per token and layer about 34·h bytes
without recomputation and 2·h with it (Korthikanti et al. 2022, arXiv 2205.05198), attention never materialised.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scaling.models import ModelSpec
from scaling.recipes import Recipe
from scaling.spec import Spec, did_you_mean

GIB = 2**30


class GpuSpec(Spec):
    name: str
    memory_gib: float
    bf16_tflops: float
    """Dense peak, from the vendor's data sheet."""
    dollars_per_hour: float
    """An assumption of `PRICES_DATED`, on-demand, one device; give your own with `--prices`."""
    devices_per_node: int = 8


# Middle of the ranges seen on public price pages, which disagree by a factor of three.
PRICES_DATED = "2026-11"
GPUS: dict[str, GpuSpec] = {
    gpu.name: gpu
    for gpu in (
        GpuSpec(name="a10g-24", memory_gib=22.5, bf16_tflops=70, dollars_per_hour=1.0, devices_per_node=1),
        GpuSpec(name="l4-24", memory_gib=22.5, bf16_tflops=121, dollars_per_hour=0.8, devices_per_node=1),
        GpuSpec(name="a100-40", memory_gib=39.5, bf16_tflops=312, dollars_per_hour=1.5),
        GpuSpec(name="a100-80", memory_gib=79.2, bf16_tflops=312, dollars_per_hour=1.9),
        GpuSpec(name="h100-80", memory_gib=79.2, bf16_tflops=989, dollars_per_hour=3.0),
        GpuSpec(name="h200-141", memory_gib=139.8, bf16_tflops=989, dollars_per_hour=3.8),
    )
}

# Share of the peak that fine-tuning reaches, by backbone size: an assumption until `scaling calibrate` measures it.
_MFU = ((200e6, 0.20), (1e9, 0.30), (5e9, 0.38), (float("inf"), 0.37))

# What two cores of a laptop or a small cloud machine reach in fp32, FLOP/s per worker; for the demo's estimates.
CPU_FLOPS = 45e9
# Start of a worker group: processes, imports, process group. Measured on two CPU cores; hours on GPUs hide it.
START_SECONDS = 25.0


class Placement(Spec):
    """How a step is laid out. Never part of its identity."""

    workers: int = Field(default=1, gt=0)
    """Devices, one process each."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    micro_batch: int = Field(default=32, gt=0)
    """Most examples per device and forward pass; the actual number divides the global batch exactly."""
    checkpoint_activations: bool = False
    resume_every: int = Field(default=0, ge=0)
    """Updates between resume points; 0 for none: a short step is cheaper to repeat."""

    def accumulation(self, batch: int) -> tuple[int, int]:
        """(micro-batch, accumulation steps) with micro × workers × steps = batch exactly; ValueError otherwise."""
        if batch % self.workers:
            raise ValueError(
                f"a global batch of {batch} does not divide over {self.workers} workers; "
                f"choose workers among {[n for n in range(1, batch + 1) if batch % n == 0]}"
            )
        share = batch // self.workers
        micro = max(size for size in range(1, min(self.micro_batch, share) + 1) if share % size == 0)
        return micro, share // micro


def state_bytes(model: ModelSpec, workers: int, zero_stage: int) -> float:
    """Bytes per device for weights, gradients and optimizer states."""
    params = model.total_params
    if zero_stage == 0:
        return 16.0 * params
    if zero_stage == 1:
        return 4.0 * params + 12.0 * params / workers
    if zero_stage == 2:
        return 2.0 * params + 14.0 * params / workers
    return 16.0 * params / workers + 4.0 * model.embedding_params


def activation_bytes(model: ModelSpec, tokens: int, *, recompute: bool) -> float:
    """Bytes per device for the activations of one micro-batch of so many tokens."""
    per_token_layer = 2 if recompute else 34
    one_layer = 34.0 * model.hidden * tokens if recompute else 0.0
    return float(per_token_layer) * model.hidden * model.depth * tokens + one_layer


def peak_bytes(model: ModelSpec, recipe: Recipe, placement: Placement) -> float:
    """Predicted peak per device: states, activations, and 1.5 GiB for the context and the allocator."""
    micro, _ = placement.accumulation(recipe.batch)
    tokens = micro * recipe.max_length
    return (
        state_bytes(model, placement.workers, placement.zero_stage)
        + activation_bytes(model, tokens, recompute=placement.checkpoint_activations)
        + 1.5 * GIB
    )


def plan_placement(model: ModelSpec, recipe: Recipe, gpu: GpuSpec) -> Placement:
    """The cheapest placement that fits on one node; ValueError with the numbers and the way out where none does.

    Fewer devices first (less idle hardware), then the lower ZeRO stage, then no recomputation, then the larger
    micro-batch.
    """
    best = float("inf")
    counts = [n for n in (1, 2, 4, 8, 16) if n <= gpu.devices_per_node and recipe.batch % n == 0]
    for workers in counts:
        for stage in (1, 2, 3) if workers > 1 else (1,):
            for recompute in (False, True):
                for micro in (32, 16, 8, 4, 2, 1):
                    if micro > recipe.batch // workers:
                        continue
                    placement = Placement(
                        workers=workers, zero_stage=stage, micro_batch=micro, checkpoint_activations=recompute
                    )
                    need = peak_bytes(model, recipe, placement)
                    best = min(best, need)
                    if need <= 0.92 * gpu.memory_gib * GIB:
                        return placement
    raise ValueError(
        f"{model.name} does not fit on a node of {counts[-1]} × {gpu.name}: it needs {best / GIB:.1f} GiB on each, "
        f"and {0.92 * gpu.memory_gib:.1f} are usable. Choose a GPU with more memory or more devices per node."
    )


def mfu(model: ModelSpec) -> float:
    """Assumed model FLOPs utilisation of fine-tuning this size."""
    return next(share for limit, share in _MFU if model.backbone_params < limit)


def get_gpu(name: str) -> GpuSpec:
    if name not in GPUS:
        raise ValueError(f"Unknown GPU {name!r}. {did_you_mean(name, GPUS)}")
    return GPUS[name]
