"""What steps cost before they run: tokens → FLOPs → seconds. Every number names its assumption."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scaling.catalogue.hardware import (
    BANDWIDTH_SHARE,
    CPU_FLOPS,
    GEMM_SHARE,
    GpuSpec,
    Placement,
)
from scaling.catalogue.models import ModelSpec
from scaling.planning.calibration import Calibration
from scaling.planning.memory import LAYER_TENSORS, params_at_work, rows_in_use
from scaling.store.records import StepRecord
from scaling.study.flops import Sizes, sequences_of_a_unit, step_flops, step_updates
from scaling.study.steps import Plan, Step

# What was measured on the device that is planned for, by model.
Measured = Mapping[str, Calibration]


# Of one kernel on the host, Python around it included.
LAUNCH_SECONDS = 4.5e-6
# Kernels of a layer in a forward and a backward pass, and of a tensor in a step of the optimizer
# with those that no tensor adds: counted (`make bench-fleet`).
LAYER_LAUNCHES = 112
TENSOR_LAUNCHES, STEP_LAUNCHES = 2, 70
# Bytes that a step of the optimizer moves for each of a worker's parameters, counted in DeepSpeed's
# code: the norm of the gradients 18, flattened 4, to fp32 6, clipped 8, Adam 28, to bf16 6.
STEP_BYTES = 70.0
# ZeRO stage → bytes a parameter that go round all ranks in an update: gradients are added up on all
# ranks, or each share on its own, and weights sent round; under stage 3 passes do that.
SENT_BYTES = {0: 4.0, 1: 8.0, 2: 4.0, 3: 2.0}
# Host seconds of ZeRO-3's hooks for a layer and pass.
HOOK_SECONDS = 2.5e-3
# Bytes for each of a worker's parameters that an offloaded step moves in host memory (norm of the
# gradients 4, clipped 8, Adam 28, to bf16 6: 43 as timed on one thread with 50 GB/s), and between
# device and host (gradients there, weights back), and the share of that link which copies reach.
HOST_STEP_BYTES, HOST_LINK_BYTES, HOST_LINK_SHARE = 46.0, 4.0, 0.8
# Weights are read, hashed and cast by each rank, and exports hashed and sent in one stream.
LOAD_BYTES_PER_SECOND, SAVE_BYTES_PER_SECOND = 0.75e9, 0.06e9
# On CPUs: loading and committing small models.
CPU_LOAD_SECONDS = 0.5
# Padded tokens of a scoring pass on a GPU.
SCORING_TOKENS = 32_768


@dataclass(frozen=True, kw_only=True)
class Price:
    """Seconds of a gang: updates × (`update` + passes × `pass_`) + FLOPs ÷ `flops` + `step`."""

    update: float
    """Of an update whatever its tokens: the step of the optimizer."""
    pass_: float
    """Of a pass whatever its tokens: launches, and weights that are gathered."""
    flops: float
    """Model FLOPs per second."""
    step: float
    """Of reading weights and writing them."""
    busy: float = 0.0
    """The part of `update` in which the device works; in the rest, and in `pass_`, it waits for
    launches.
    """
    sharing: int = 1
    """Gangs on the device. The others work in each one's waits."""

    def seconds(self, *, updates: float, passes: float, flops: float) -> float:
        """Of so many updates of so many passes each, without `step`."""
        alone = updates * (self.update + passes * self.pass_) + flops / self.flops
        return max(alone, self.sharing * (updates * self.busy + flops / self.flops))


def price_on(
    model: ModelSpec,
    placement: Placement,
    gpu: GpuSpec,
    *,
    training: bool,
    fresh: bool,
    word_rows: int = 0,
) -> Price:
    """A roofline with the bandwidths of the data sheet; nothing is measured.

    Args:
        model: The size.
        placement: Its layout.
        gpu: What it runs on.
        training: A training, or a scoring.
        fresh: Whether it starts from fp32 weights, and not from an export in bf16.
        word_rows: Rows of the word embedding that a training can touch; 0 for all.
    """
    whole, workers = float(model.total_params), placement.workers
    params = float(params_at_work(model, word_rows, placement)) if training else whole
    share, layers = params / workers, model.depth
    ring = (workers - 1) / workers / (gpu.link_gbs * 1e9)
    sharded = placement.zero_stage == 3
    gathered = 2.0 * params * ring if sharded else 0.0
    hooks = HOOK_SECONDS * layers if sharded else 0.0
    forward = LAUNCH_SECONDS * LAYER_LAUNCHES * layers * (1 if training else 1 / 3)
    update = busy = 0.0
    if training:
        launches = TENSOR_LAUNCHES * LAYER_TENSORS * layers + STEP_LAUNCHES
        update = launches * LAUNCH_SECONDS + SENT_BYTES[placement.zero_stage] * params * ring
        if placement.offload_optimizer:
            update += offloaded_seconds(share, gpu)
        else:
            moved = STEP_BYTES + bucket_bytes(workers)
            busy = moved * share / (gpu.memory_gbs * 1e9 * BANDWIDTH_SHARE)
            update += busy
    # Below stage 3 every rank reads all of it.
    loaded = (4.0 if fresh else 2.0) * (whole / workers if sharded else whole)
    saved = 2.0 * whole / workers if training else 0.0
    rate = gpu.bf16_tflops * 1e12 * GEMM_SHARE * workers
    return Price(
        update=update,
        # Weights are gathered ahead, while the layers before them compute.
        pass_=max(forward + hooks, (2 if training else 1) * gathered),
        flops=rate / (4 / 3 if training and placement.checkpoint_activations else 1.0),
        step=loaded / LOAD_BYTES_PER_SECOND + saved / SAVE_BYTES_PER_SECOND,
        busy=busy,
        sharing=placement.sharing,
    )


def bucket_bytes(workers: int) -> float:
    """Moved for each of a worker's parameters by way of the bucket, counted in DeepSpeed's code.

    Gradients are copied into it and out of it, 8. Each of several workers copies those of all
    parameters into it, divides them and copies them behind each other, 12, and then its own share
    back and out, 8.
    """
    return 8.0 if workers == 1 else 12.0 * workers + 8.0


def offloaded_seconds(share: float, gpu: GpuSpec) -> float:
    """Of a step whose optimizer lies on the host, for a worker's so many parameters.

    Each worker has its own share of the host's memory bandwidth: the other devices use theirs.
    """
    return share * (
        HOST_STEP_BYTES / (gpu.host_memory_gbs * 1e9 * BANDWIDTH_SHARE)
        + HOST_LINK_BYTES / (gpu.host_link_gbs * 1e9 * HOST_LINK_SHARE)
    )


def price_of(
    model: ModelSpec,
    placement: Placement,
    gpu: GpuSpec | None,
    *,
    training: bool,
    fresh: bool,
    known: Calibration | None = None,
    word_rows: int = 0,
) -> Price:
    """What was measured, where something was; else what is assumed of the device.

    Args:
        model: The size.
        placement: Its layout.
        gpu: What it runs on; None for CPUs.
        training: A training, or a scoring.
        fresh: Whether it starts from fp32 weights, and not from an export in bf16.
        known: The size's measurement on this device.
        word_rows: Rows of the word embedding that a training can touch; 0 for all.
    """
    if gpu is None:
        each = CPU_FLOPS if known is None else known.flops_per_second
        return Price(
            update=0.0 if known is None or not training else known.update_seconds,
            pass_=0.0,
            flops=each * placement.workers,
            step=CPU_LOAD_SECONDS,
        )
    price = price_on(model, placement, gpu, training=training, fresh=fresh, word_rows=word_rows)
    if known is None:
        return price
    there = price_on(model, known.placement, gpu, training=True, fresh=True)
    # Another placement than the measured one is faster or slower by what is assumed of both. What
    # was measured of an update has one pass of short texts in it.
    scale = known.update_seconds / (there.update + there.pass_) if known.update_seconds else 1.0
    return Price(
        update=price.update * scale,
        pass_=price.pass_ * scale,
        flops=known.flops_per_second * known.placement.workers * price.flops / there.flops,
        step=price.step,
        busy=price.busy * scale,
        sharing=price.sharing,
    )


def step_seconds(
    plan: Plan,
    step: Step,
    sizes: Sizes,
    placement: Placement,
    gpu: GpuSpec | None,
    measured: Measured | None = None,
) -> float:
    """Estimated seconds of a step in a warm worker group.

    Args:
        plan: The plan that has the step.
        step: A training or a scoring.
        sizes: What staging counted.
        placement: Its layout.
        gpu: What it runs on; None for CPUs.
        measured: What was measured on this device, by model.
    """
    model, training = plan.study.model(step.model), step.action == "train"
    price = price_of(
        model,
        placement,
        gpu,
        training=training,
        fresh=step.parent is None,
        known=(measured or {}).get(step.model),
        word_rows=rows_in_use(plan.study, step, sizes),
    )
    flops = step_flops(plan, step, sizes)
    if not training:
        tokens = flops * 3 / model.train_flops_per_token(128)
        passes = math.ceil(tokens / SCORING_TOKENS / placement.workers)
        return price.seconds(updates=1, passes=passes, flops=flops) + price.step
    updates, recipe = step_updates(plan, step, sizes), step.recipe
    passes = passes_of(
        placement,
        recipe.batch,
        recipe.max_length,
        # Longer texts have more FLOPs a token: a little too many tokens, never too few.
        tokens=flops / model.train_flops_per_token(1) / max(1.0, updates),
        sequences=recipe.batch * sequences_of_a_unit(plan, step),
    )
    return price.seconds(updates=updates, passes=passes, flops=flops) + price.step


def passes_of(
    placement: Placement, batch: int, max_length: int, *, tokens: float, sequences: int
) -> int:
    """Passes of a worker in an update: they are cut by tokens, so that short texts share one.

    Args:
        placement: Its workers and its micro-batch.
        batch: Examples of an update.
        max_length: Tokens of the longest texts.
        tokens: Real tokens of an update.
        sequences: Texts of an update.
    """
    full = placement.rows(batch) * max_length
    most = math.ceil(sequences / placement.workers / placement.micro_batch)
    return min(max(1, math.ceil(tokens / placement.workers / full)), most)


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
