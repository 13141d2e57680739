"""What one device holds in training, part by part, and the placement that fits and costs least.

Model states: Rajbhandari et al. 2020 (arXiv 1910.02054). Activations: Korthikanti et al. 2022 (arXiv 2205.05198), eq.
2, with attention never materialised: 32·h bytes of bf16 and 2·h of dropout masks per token and layer; recomputed, one
input per layer and one layer at a time. What DeepSpeed holds beyond that was measured, on CPU in fp32 only
(`make bench-memory`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from scaling.hardware import BUCKET_ELEMENTS, GIB, LIVE_ELEMENTS, GpuSpec, Placement
from scaling.models import ModelSpec
from scaling.recipes import Recipe

# Share of a device that a plan may fill: what is left is fragmentation and collectives.
USABLE = 0.92
MASKED_SHARE = 0.15


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device at the worst moment of an update."""

    weights: float
    gradients: float
    optimizer: float
    """Master weights, both moments, and the gradients in fp32 while a step is taken."""
    buffers: float
    """What is gathered or reduced at once, and the embedding's gradient before it is added up."""
    activations: float
    logits: float
    """Of a masked language model: 250,000 for every masked token."""
    fixed: float
    """Libraries and context."""
    host: float
    """Beside the device: optimizer states in host memory, per worker. Not part of the total."""

    @property
    def total(self) -> float:
        return float(sum(getattr(self, part.name) for part in fields(self) if part.name != "host"))


def memory(model: ModelSpec, recipe: Recipe, placement: Placement, *, gpu: bool = True, masked: bool = False) -> Memory:
    """Predicted peak of one worker. `masked`: whether a masked language model is trained."""
    tokens = placement.rows(recipe.batch) * recipe.max_length
    size = 2.0 if recipe.precision == "bf16" else 4.0
    params, embedding, workers = float(model.total_params), float(model.embedding_params), placement.workers
    stage = placement.zero_stage
    share = params / workers
    weights = size * (share if stage == 3 else params)
    gradients = size * (share if stage >= 2 else params)
    bucket = size * min(params, BUCKET_ELEMENTS)
    live = size * min(params, LIVE_ELEMENTS) if stage == 3 else 0.0
    if not gpu and workers > 1:
        # gloo gathers into copies; measured.
        live *= 3
    # Master weights and two moments in fp32, and the step's gradients; stage 0 in fp32 needs no master copy.
    states = 8.0 * params if stage == 0 else 16.0 * share
    optimizer, host = (0.0, states) if placement.offload_optimizer else (states, 0.0)
    return Memory(
        weights=weights, gradients=gradients, optimizer=optimizer, buffers=size * embedding + bucket + live,
        activations=_activations(model, tokens, size, recompute=placement.checkpoint_activations),
        logits=MASKED_SHARE * tokens * model.vocab_rows * (2 * size + 12.0) if masked else 0.0,
        fixed=(1.5 if gpu else CPU_FIXED_GIB) * GIB, host=host,
    )  # fmt: skip


# A worker with torch, transformers and DeepSpeed imported and a process group.
CPU_FIXED_GIB = 0.45


def _activations(model: ModelSpec, tokens: int, size: float, *, recompute: bool) -> float:
    layer = (16.0 * size + 2.0) * model.hidden * tokens
    if recompute:
        return size * model.hidden * model.depth * tokens + layer
    return layer * model.depth


def burden(placement: Placement) -> float:
    """Device seconds relative to a device that computes everything once, alone. Assumptions, all three.

    Recomputation repeats the forward pass: 4/3. ZeRO-3 gathers the weights twice an update: 1.15 inside a node. An
    offloaded optimizer steps on the host: 2.
    """
    factor = 4 / 3 if placement.checkpoint_activations else 1.0
    factor *= {0: 1.0, 1: 1.0, 2: 1.02, 3: 1.15}[placement.zero_stage] if placement.workers > 1 else 1.0
    return factor * (2.0 if placement.offload_optimizer else 1.0)


def _cost(recipe: Recipe, placement: Placement) -> float:
    """`burden`, with an overhead of about 500 tokens' work for every pass."""
    return burden(placement) * (1 + 500 / (placement.rows(recipe.batch) * recipe.max_length))


def candidates(recipe: Recipe, gpu: GpuSpec, multiple: int = 1) -> list[Placement]:
    """Every placement on one node, the cheapest in device seconds first; then the one with fewer workers.

    `multiple`: what the examples of a pass must divide by.
    """
    found = [
        Placement(
            workers=workers, zero_stage=stage, micro_batch=micro, checkpoint_activations=recompute,
            offload_optimizer=offload,
        )
        for workers in (1, 2, 4, 8, 16) if workers <= gpu.devices_per_node and recipe.batch % workers == 0
        for stage in ((1, 2, 3) if workers > 1 else (1,))
        for recompute in (False, True)
        for offload in (False, True)
        for micro in (32, 16, 8, 4, 2, 1) if micro <= recipe.batch // workers and micro % multiple == 0
    ]  # fmt: skip
    return sorted(found, key=lambda one: (round(_cost(recipe, one), 3), one.workers, one.zero_stage))


def misfit(model: ModelSpec, recipe: Recipe, placement: Placement, gpu: GpuSpec, *, masked: bool = False) -> str | None:
    """Why a placement does not fit, with the numbers; None if it does."""
    need = memory(model, recipe, placement, masked=masked)
    usable = USABLE * gpu.memory_gib * GIB
    if need.total > usable:
        return f"needs {need.total / GIB:.1f} GiB a device, {usable / GIB:.1f} of {gpu.name} are usable"
    here = min(placement.workers, gpu.devices_per_node)
    if need.host * here > USABLE * gpu.host_gib * GIB:
        return (
            f"offloads {need.host * here / GIB:.0f} GiB to the host, {USABLE * gpu.host_gib:.0f} of a node of "
            f"{gpu.devices_per_node} × {gpu.name} are usable"
        )
    return None


def plan_placement(
    model: ModelSpec, recipe: Recipe, gpu: GpuSpec, *, masked: bool = False, multiple: int = 1
) -> Placement:
    """The cheapest placement that fits on one node; ValueError with the numbers and the way out where none does."""
    possible = candidates(recipe, gpu, min(multiple, recipe.batch))
    for placement in possible:
        if misfit(model, recipe, placement, gpu, masked=masked) is None:
            return placement
    least = min(
        (one for one in possible if not one.offload_optimizer),
        key=lambda one: memory(model, recipe, one, masked=masked).total,
    )
    offloaded = least.model_copy(update={"offload_optimizer": True})
    raise ValueError(
        f"{model.name} does not fit on a node of {gpu.devices_per_node} × {gpu.name}: at best "
        f"({describe(least)}) it {misfit(model, recipe, least, gpu, masked=masked)}; with an offloaded optimizer it "
        f"{misfit(model, recipe, offloaded, gpu, masked=masked)}. Choose a GPU with more memory, a node with more of "
        "them or with more host memory, or give a `placement` with more workers than one node has."
    )


def describe(placement: Placement) -> str:
    """`8 × ZeRO-3, micro 4, recomputed, offloaded`: workers, stage, examples per pass."""
    text = f"{placement.workers} × ZeRO-{placement.zero_stage}, micro {placement.micro_batch}"
    return text + ", recomputed" * placement.checkpoint_activations + ", offloaded" * placement.offload_optimizer
