"""What one device holds in training, part by part, and the placement that fits and costs least.

Model states: Rajbhandari et al. 2020 (arXiv 1910.02054). Activations: Korthikanti et al. 2022
(arXiv 2205.05198), eq. 2, with attention never materialised on a GPU: 32·h bytes of bf16 and 2·h of
dropout masks per token and layer; recomputed, one input per layer and one layer at a time. What
DeepSpeed holds beyond that was measured, on CPU in fp32 only (`make bench-memory`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache

from scaling.catalogue.hardware import (
    BUCKET_ELEMENTS,
    GIB,
    LIVE_ELEMENTS,
    PAIRS_TOGETHER,
    GpuSpec,
    Placement,
)
from scaling.catalogue.models import ModelSpec
from scaling.study.recipes import Recipe

# Share of a device that a plan may fill: what is left is fragmentation and collectives.
USABLE = 0.92
MASKED_SHARE = 0.15
# Choices of a multiple-choice question: four in all intermediate tasks but CommonsenseQA, which has
# five.
ASSUMED_CHOICES = 4


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a training asks of its devices. Trainings of one model with equal demands are placed
    alike.
    """

    batch: int
    max_length: int
    """Of the longest sequences."""
    precision: str
    masked: bool = False
    """Whether a masked language model is trained."""
    texts: int = 1
    """Sequences of an example."""
    together: int = 1
    """Examples that share a pass whatever the micro-batch: pairs that are each other's
    negatives.
    """

    @property
    def least(self) -> int:
        """Sequences of the smallest pass."""
        return self.together * self.texts

    def divides(self, workers: int) -> bool:
        """Whether every worker gets as many whole groups of examples as any other, and one at
        least.
        """
        return self.batch % workers == 0 and self.batch // self.together % workers == 0

    def sequences(self, placement: Placement) -> int:
        """Sequences of the largest pass, each of `max_length` tokens at most."""
        return max(self.least, placement.rows(self.batch))


def demand_of(recipe: Recipe, kinds: Iterable[str] = ()) -> Demand:
    """Of a training of tasks of these kinds with one recipe."""
    kinds = set(kinds)
    texts = ASSUMED_CHOICES if "multiple_choice" in kinds else 2 if "retrieval" in kinds else 1
    return Demand(
        batch=recipe.batch,
        max_length=recipe.max_length,
        precision=recipe.precision,
        masked="masked_lm" in kinds,
        texts=texts,
        together=min(PAIRS_TOGETHER, recipe.batch) if "retrieval" in kinds else 1,
    )


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


def memory(model: ModelSpec, demand: Demand, placement: Placement, *, gpu: bool = True) -> Memory:
    """Predicted peak of one worker."""
    tokens = demand.sequences(placement) * demand.max_length
    size = 2.0 if demand.precision == "bf16" else 4.0
    params, embedding, workers = (
        float(model.total_params),
        float(model.embedding_params),
        placement.workers,
    )
    stage = placement.zero_stage
    share = params / workers
    weights = size * (share if stage == 3 else params)
    gradients = size * (share if stage >= 2 else params)
    # One worker of stage 0 adds its gradients up with nobody's.
    bucket = size * min(params, BUCKET_ELEMENTS) if stage or workers > 1 else 0.0
    live = size * min(params, LIVE_ELEMENTS) if stage == 3 else 0.0
    if not gpu and workers > 1:
        # gloo gathers into copies; measured.
        live *= 3
    # Master weights and two moments in fp32, and the step's gradients; stage 0 in fp32 needs no
    # master copy.
    states = 8.0 * params if stage == 0 else 16.0 * share
    optimizer, host = (0.0, states) if placement.offload_optimizer else (states, 0.0)
    # A CPU has no fused attention with dropout: the probabilities of every head are kept.
    attention = 0.0 if gpu else size * model.num_heads * demand.max_length
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        buffers=size * embedding + bucket + live,
        activations=_activations(
            model, tokens, size, attention, recompute=placement.checkpoint_activations
        ),
        logits=(
            MASKED_SHARE * tokens * model.vocab_rows * (2 * size + 12.0) if demand.masked else 0.0
        ),
        fixed=(1.5 if gpu else CPU_FIXED_GIB) * GIB,
        host=host,
    )


# A worker with torch, transformers and DeepSpeed imported and a process group.
CPU_FIXED_GIB = 0.45


def _activations(
    model: ModelSpec, tokens: int, size: float, attention: float, *, recompute: bool
) -> float:
    layer = ((16.0 * size + 2.0) * model.hidden + attention) * tokens
    if recompute:
        return size * model.hidden * model.depth * tokens + layer
    return layer * model.depth


def burden(placement: Placement, *, scoring: bool = False) -> float:
    """Device seconds relative to a device that computes everything once, alone. Assumptions, all
    three.

    Recomputation repeats the forward pass: 4/3. ZeRO-3 gathers the weights twice an update: 1.15
    inside a node. An offloaded optimizer steps on the host: 2. Scoring has neither a backward pass
    nor an optimizer.
    """
    gathering = (
        {0: 1.0, 1: 1.0, 2: 1.02, 3: 1.15}[placement.zero_stage] if placement.workers > 1 else 1.0
    )
    if scoring:
        return gathering
    return (
        gathering
        * (4 / 3 if placement.checkpoint_activations else 1.0)
        * (2.0 if placement.offload_optimizer else 1)
    )


def cost(demand: Demand, placement: Placement) -> float:
    """`burden`, with an overhead of about 500 tokens' work for every pass."""
    return burden(placement) * (1 + 500 / (demand.sequences(placement) * demand.max_length))


@cache
def candidates(demand: Demand, most_workers: int) -> tuple[Placement, ...]:
    """Every placement on so many devices, the cheapest in device seconds first; then the one with
    fewer workers.
    """
    found = [
        Placement(
            workers=workers,
            zero_stage=stage,
            micro_batch=micro,
            checkpoint_activations=recompute,
            offload_optimizer=offload,
        )
        for workers in (1, 2, 4, 8, 16)
        if workers <= most_workers and demand.divides(workers)
        for stage in ((1, 2, 3) if workers > 1 else (1,))
        for recompute in (False, True)
        for offload in (False, True)
        for micro in _micro_batches(demand, workers)
    ]
    return tuple(
        sorted(found, key=lambda one: (round(cost(demand, one), 3), one.workers, one.zero_stage))
    )


def _micro_batches(demand: Demand, workers: int) -> list[int]:
    """Powers of two up to 32 between the smallest pass and a worker's share, largest first; one at
    least.
    """
    most = demand.batch // workers
    wanted = {micro for micro in (1, 2, 4, 8, 16, 32) if demand.least <= micro <= most}
    return sorted(wanted | {max(demand.least, min(32, most))}, reverse=True)


def misfit(model: ModelSpec, demand: Demand, placement: Placement, gpu: GpuSpec) -> str | None:
    """Why a placement does not fit, with the numbers; None if it does."""
    need = memory(model, demand, placement)
    usable = USABLE * gpu.memory_gib * GIB
    if need.total > usable:
        return (
            f"needs {need.total / GIB:.1f} GiB a device, {usable / GIB:.1f} of {gpu.name} are"
            " usable"
        )
    here = min(placement.workers, gpu.devices_per_node)
    if need.host * here > USABLE * gpu.host_gib * GIB:
        return (
            f"offloads {need.host * here / GIB:.0f} GiB to the host, {USABLE * gpu.host_gib:.0f} of"
            f" a node of {gpu.devices_per_node} × {gpu.name} are usable"
        )
    return None


def fitting(
    model: ModelSpec, demand: Demand, gpu: GpuSpec, most_workers: int = 0
) -> dict[int, Placement]:
    """Gang size → its cheapest placement that fits, the cheapest gang first; gangs of one node.

    `most_workers`: devices that there are at all; 0 for a whole node. ValueError with the numbers
    and the way out where nothing fits.
    """
    most = min(gpu.devices_per_node, most_workers or gpu.devices_per_node)
    possible = candidates(demand, most)
    found: dict[int, Placement] = {}
    for placement in possible:
        if placement.workers not in found and misfit(model, demand, placement, gpu) is None:
            found[placement.workers] = placement
    if found:
        return found
    least = min(
        (one for one in possible if not one.offload_optimizer),
        key=lambda one: memory(model, demand, one).total,
    )
    offloaded = least.model_copy(update={"offload_optimizer": True})
    raise ValueError(
        f"{model.name} does not fit on a node of {most} × {gpu.name}: at best ({describe(least)})"
        f" it {misfit(model, demand, least, gpu)}; with an offloaded optimizer it"
        f" {misfit(model, demand, offloaded, gpu)}. Choose a GPU with more memory, a node with more"
        " of them or with more host memory, or give a `placement` with more workers than one node"
        " has."
    )


def describe(placement: Placement, micro: str = "") -> str:
    """`8 × ZeRO-3, micro 4, recomputed, offloaded`: workers, stage, longest sequences per pass
    (`micro`: as text).
    """
    text = (
        f"{placement.workers} × ZeRO-{placement.zero_stage}, micro {micro or placement.micro_batch}"
    )
    return (
        text
        + ", recomputed" * placement.checkpoint_activations
        + ", offloaded" * placement.offload_optimizer
    )
