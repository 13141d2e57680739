"""Every placement on a node: whether it fits, what it costs beside the others, and its name."""

from __future__ import annotations

from functools import cache

from scaling.catalogue.hardware import GIB, PASS_TOKENS, GpuSpec, Placement
from scaling.catalogue.models import ModelSpec
from scaling.planning.memory import USABLE, Demand, memory
from scaling.planning.speed import price_on
from scaling.spec import UserError


def cost(model: ModelSpec, demand: Demand, placement: Placement, gpu: GpuSpec) -> float:
    """Device seconds relative to a lone device that computes everything once.

    Two assumptions: recomputation repeats the forward pass, 4/3; ZeRO-3 gathers the weights twice
    an update, 1.15 inside a node. The rest is counted: what every pass costs besides its tokens,
    and the bytes that an offloaded optimizer moves.

    Args:
        model: Whose parameters.
        demand: What the training asks for.
        placement: How it is laid out.
        gpu: The device, and the machine around it.
    """
    tokens = demand.sequences(placement) * demand.max_length
    gathering = (
        {0: 1.0, 1: 1.0, 2: 1.02, 3: 1.15}[placement.zero_stage] if placement.workers > 1 else 1.0
    )
    return (
        gathering
        * (4 / 3 if placement.checkpoint_activations else 1.0)
        * (_offloading(model, demand, placement, gpu) if placement.offload_optimizer else 1.0)
        * (1 + PASS_TOKENS["cuda"] / tokens)
    )


def _offloading(model: ModelSpec, demand: Demand, placement: Placement, gpu: GpuSpec) -> float:
    """Seconds of an update with its optimizer on the host, over those with it on the device.

    Of texts that are all as long as they may be: shorter ones make it worse.
    """
    tokens = demand.batch * demand.texts * demand.max_length
    flops = tokens * model.train_flops_per_token(demand.max_length)
    far, near = (
        price_on(
            model,
            placement.model_copy(update={"offload_optimizer": offload}),
            gpu,
            training=True,
            fresh=True,
            word_rows=demand.word_rows,
        ).seconds(updates=1, passes=1, flops=flops)
        for offload in (True, False)
    )
    return far / near


@cache
def candidates(
    model: ModelSpec, demand: Demand, gpu: GpuSpec, most_workers: int
) -> tuple[Placement, ...]:
    """Every placement on so many devices, the cheapest in device seconds first.

    Of equally cheap ones, the one with fewer workers first.

    Args:
        model: Whose parameters.
        demand: What the training asks for.
        gpu: The device, and the machine around it.
        most_workers: Devices that there are.
    """
    possible = [
        Placement(
            workers=workers,
            zero_stage=stage,
            micro_batch=micro,
            checkpoint_activations=recompute,
            offload_optimizer=offload,
        )
        for workers in (1, 2, 4, 8, 16)
        if workers <= most_workers and demand.batch % workers == 0
        for stage in ((1, 2, 3) if workers > 1 else (1,))
        for recompute in (False, True)
        for offload in (False, True)
        for micro in _micro_batches(demand, workers)
    ]
    return tuple(
        sorted(
            possible,
            key=lambda placement: (
                round(cost(model, demand, placement, gpu), 3),
                placement.workers,
                placement.zero_stage,
            ),
        )
    )


def _micro_batches(demand: Demand, workers: int) -> list[int]:
    """Powers of two up to 32, from the smallest pass to a worker's share, largest first."""
    most, least = demand.batch // workers, demand.least(workers)
    wanted = {micro for micro in (1, 2, 4, 8, 16, 32) if least <= micro <= most}
    return sorted(wanted | {max(least, min(32, most))}, reverse=True)


def misfit(model: ModelSpec, demand: Demand, placement: Placement, gpu: GpuSpec) -> str | None:
    """Why a placement does not fit, with the numbers; None if it does.

    Args:
        model: Whose parameters.
        demand: What the training asks for.
        placement: How it is laid out.
        gpu: The device, and the machine around it.
    """
    need = memory(model, demand, placement)
    usable = USABLE * gpu.memory_gib * GIB / placement.sharing
    if need.total > usable:
        each = f", for each of {placement.sharing} to a device" if placement.sharing > 1 else ""
        return (
            f"needs {need.total / GIB:.1f} GiB a device, {usable / GIB:.1f} of {gpu.name} are"
            f" usable{each}"
        )
    workers = min(placement.workers, gpu.devices_per_node)
    if need.host * workers > USABLE * gpu.host_gib * GIB:
        return (
            f"offloads {need.host * workers / GIB:.0f} GiB to the host,"
            f" {USABLE * gpu.host_gib:.0f} of a node of {gpu.devices_per_node} × {gpu.name} are"
            " usable"
        )
    return None


def fitting(
    model: ModelSpec, demand: Demand, gpu: GpuSpec, most_workers: int = 0
) -> dict[int, Placement]:
    """Gang size → its cheapest placement that fits, the cheapest gang first; gangs of one node.

    UserError with the numbers and the way out where nothing fits.

    Args:
        model: Whose parameters.
        demand: What the training asks for.
        gpu: The device, and the machine around it.
        most_workers: Devices that there are at all; 0 for a whole node.
    """
    most = min(gpu.devices_per_node, most_workers or gpu.devices_per_node)
    possible = candidates(model, demand, gpu, most)
    cheapest: dict[int, Placement] = {}
    for placement in possible:
        if placement.workers not in cheapest and misfit(model, demand, placement, gpu) is None:
            cheapest[placement.workers] = placement
    if cheapest:
        return cheapest
    least = min(
        (placement for placement in possible if not placement.offload_optimizer),
        key=lambda placement: memory(model, demand, placement).total,
    )
    offloaded = least.model_copy(update={"offload_optimizer": True})
    raise UserError(
        f"{model.name} does not fit on a node of {most} × {gpu.name}: at best ({describe(least)})"
        f" it {misfit(model, demand, least, gpu)}; with an offloaded optimizer it"
        f" {misfit(model, demand, offloaded, gpu)}. Choose a GPU with more memory, a node with more"
        " of them or with more host memory, or give a `placement` with more workers than one node"
        " has."
    )


def describe(placement: Placement, micro: str = "") -> str:
    """`8 × ZeRO-3, micro 4, recomputed, offloaded`: workers, stage, longest sequences per pass.

    `1 × ZeRO-1, micro 32, 2 to a device` where trainings share one.

    `micro` replaces the number of sequences.
    """
    parts = [
        f"{placement.workers} × ZeRO-{placement.zero_stage}",
        f"micro {micro or placement.micro_batch}",
    ]
    if placement.sharing > 1:
        parts.append(f"{placement.sharing} to a device")
    if placement.checkpoint_activations:
        parts.append("recomputed")
    if placement.offload_optimizer:
        parts.append("offloaded")
    return ", ".join(parts)
