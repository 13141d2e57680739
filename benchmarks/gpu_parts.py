"""The parts of `make bench-gpu`: each runs alone, in a process of its own, within five minutes.

Nothing here imports ray or polars.
"""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_bench import (
    EXAMPLES,
    FULL,
    STUDY,
    Bench,
    Row,
    Runs,
    peak_bytes,
    placed,
    reported,
    row,
)
from benchmarks.peers import Case, ceiling, clock, made, started, trainer
from benchmarks.random_models import shape, write_model
from benchmarks.speed_law import errors
from scaling.catalogue.hardware import GEMM_SHARE, GIB, Placement
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.encoders.encoder import Weights
from scaling.encoders.engine import start_scoring, start_training
from scaling.kinds import KINDS
from scaling.planning import speed
from scaling.planning.fitting import describe
from scaling.planning.memory import LAYER_TENSORS, demand_of, memory
from scaling.training.evaluation import predict
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, run_updates
from scaling.training.measure import Request, measure
from tests.helpers.leftovers import VOCABULARY, WAYS, left_by

# Of the best that can be: FLOP/s of matrix products, bytes a parameter of the optimizer's step.
ROOF_FLOPS, ROOF_BYTES = 550e12, 30.0
OVER_ROOF = {"xlm-r-base": 2.5, "xlm-r-large": 1.8, "xlm-r-xl": 1.8}


def update(bench: Bench, sizes: tuple[str, ...] = ("xlm-r-base", "xlm-r-large")) -> Iterator[Row]:
    """Time of an update over its roofline, MFU, and the planner's peak."""
    gpu = bench.gpu
    for size in sizes:
        model, weights = bench.weights(size)
        placement = placed(bench, model)
        if bench.cuda:
            torch.cuda.reset_peak_memory_stats()
        with closing(started(STUDY, weights, bench.world, placement)) as engine:
            study = Runs(engine, STUDY, placement, model.vocab_rows)
            tokens, seconds = study.each(bench.often(20))
            full = Runs(engine, FULL, placement, model.vocab_rows)
            many, slow = full.each(bench.often(10))
            peak = peak_bytes(bench)
        flops = tokens * model.train_flops_per_token(round(tokens / STUDY.batch))
        roof = flops / ROOF_FLOPS + ROOF_BYTES * model.total_params / (gpu.memory_gbs * 1e9)
        price = speed.price_on(model, placement, gpu, training=True, fresh=True)
        said = price.seconds(updates=1, passes=1, flops=flops)
        most = OVER_ROOF[size]
        yield row(
            f"time of an update over its roofline, {size}, batch 32, {tokens:,.0f} tokens",
            f"≤ {most}",
            f"{seconds / roof:.1f} ({1e3 * seconds:.1f} ms; {describe(placement)})",
            seconds / roof <= most,
        )
        yield row(
            f"time of an update as planned from bandwidths, {size}",
            "within 15 %",
            f"{said / seconds - 1:+.0%} ({1e3 * said:.1f} ms planned)",
            abs(said / seconds - 1) <= 0.15,
        )
        mfu = many * model.train_flops_per_token(128) / slow / gpu.bf16_tflops / 1e12
        study_mfu = flops / seconds / gpu.bf16_tflops / 1e12
        yield reported(
            f"MFU of {size}, 32 × 128 tokens, of the data sheet's {gpu.bf16_tflops:.0f} TFLOP/s",
            f"{mfu:.1%} ({1e3 * slow:.1f} ms); at a study's lengths {study_mfu:.1%}",
        )
        need = memory(model, demand_of(STUDY.recipe, {STUDY.kind}), placement, gpu=bench.cuda)
        off = (need.total - (need.fixed if bench.cuda else 0.0)) / peak - 1
        yield row(
            f"planner's peak against the allocator's, {size}, 32 × 128 tokens",
            "0 to +15 %",
            f"{off:+.1%} ({peak / GIB:.2f} GiB reserved)",
            0 <= off <= 0.15,
        )


# Of the ways of `tests.helpers.leftovers`, what five minutes have room for.
LEFT = (
    "ZeRO-3",
    "ZeRO-1",
    "ZeRO-2",
    "ZeRO-0",
    "ZeRO-3, LoRA",
    "ZeRO-3, recomputed",
    "ZeRO-2, offloaded",
)


def leaks(bench: Bench) -> Iterator[Row]:
    """Bytes of the device that a closed step leaves, stages 0-3, over three rounds."""
    ways = LEFT[:2] if bench.small else LEFT
    for hidden in sorted({WAYS[way].hidden for way in ways}):
        model = shape("made-up", 2, hidden, vocab=VOCABULARY, heads=4)
        write_model(model, bench.folder / f"model-{hidden}")
    gc.collect()
    gc.disable()
    worst, where, grows, on_device = 0, "none", 0, []
    for way in ways:
        before = torch.cuda.memory_allocated() if bench.cuda else 0
        found = left_by(WAYS[way], bench.world, bench.folder)
        on_device.append(torch.cuda.memory_allocated() - before if bench.cuda else 0)
        for sizes in found.values():
            grows = max(grows, sizes[-1] - sizes[0])
            if max(sizes) > worst:
                worst, where = max(sizes), way
    gc.enable()
    yield row(
        f"bytes of a closed step still alive, {len(ways)} ways, train and score, one device",
        "≤ 64 kB, not growing",
        f"{worst:,} B ({where}); {grows:+,} B over three rounds",
        worst <= 64_000 and grows <= 1_000,
    )
    most = max(on_device)
    yield row(
        f"bytes that {len(ways)} ways leave in the device's allocator, the worst",
        # cuBLAS keeps workspaces of 8 to 32 MiB a stream, from its first product on.
        "≤ 64 kB after the first",
        f"{most:,} B ({', '.join(f'{one:,}' for one in on_device)})",
        max(on_device[1:]) <= 64_000,
    )


def constants(bench: Bench) -> Iterator[Row]:
    """What the planner assumes of a device: products, bandwidth, launches, the offloaded step."""
    device, gpu = bench.world.device, bench.gpu
    peak = ceiling(bench.world) / 1e12 if not bench.small else 1.0
    yield reported(
        f"bf16 products of 8192, share of the data sheet (assumed of a training: {GEMM_SHARE:.0%})",
        f"{peak / gpu.bf16_tflops:.0%} ({peak:.0f} TFLOP/s)",
    )
    one = torch.ones(64, device=device)
    number = 200 if bench.small else 20_000
    each = _seconds(lambda: [one.add_(1.0) for _ in range(number)]) / number
    yield reported(
        f"µs of a launch, bare (assumed with Python around it: {1e6 * speed.LAUNCH_SECONDS:.1f})",
        f"{1e6 * each:.1f}",
    )
    elements = 100_000 if bench.small else 250_000_000
    # At most 3 GB of the device, which Base leaves free.
    big = torch.zeros(elements, device=device, dtype=torch.float32)
    seconds = _seconds(lambda: big.mul_(1.0))
    yield reported(
        f"GB/s of memory, read and written (assumed {gpu.memory_gbs:.0f} × 0.8)",
        f"{8 * elements / seconds / 1e9:,.0f}",
    )
    host = torch.zeros(elements, dtype=torch.float32)
    host = host.pin_memory() if bench.cuda else host
    seconds = _seconds(lambda: big.copy_(host, non_blocking=True))
    yield reported(
        "GB/s from pinned host memory (assumed of an offloaded step:"
        f" {gpu.host_link_gbs * speed.HOST_LINK_SHARE:.0f})",
        f"{4 * elements / seconds / 1e9:,.1f}",
    )
    weight = torch.zeros(elements // 8, device=device, requires_grad=True)
    weight.grad = torch.ones_like(weight)
    adam = torch.optim.AdamW([weight], fused=True)
    seconds = _seconds(adam.step)
    yield reported(
        "GB/s of a fused AdamW step, 28 bytes a parameter",
        f"{28 * weight.numel() / seconds / 1e9:,.0f}",
    )
    del weight, adam
    model, weights = bench.weights("xlm-r-base")
    placement = Placement(zero_stage=2, micro_batch=32, offload_optimizer=True)
    with closing(started(STUDY, weights, bench.world, placement)) as engine:
        tokens, seconds = Runs(engine, STUDY, placement, model.vocab_rows).each(bench.often(3))
    price = speed.price_on(model, placement, gpu, training=True, fresh=True)
    said = price.seconds(updates=1, passes=1, flops=tokens * model.train_flops_per_token(42))
    yield reported(
        f"ms of an update of Base with its optimizer on the host (planned {1e3 * said:.0f})",
        f"{1e3 * seconds:.0f} with {torch.get_num_threads()} threads",
    )


def _seconds(work: Callable[[], object]) -> float:
    work()
    start = clock()
    for _ in range(3):
        work()
    return (clock() - start) / 3


def law(bench: Bench) -> Iterator[Row]:
    """Seconds from two calibrations, against measured ones."""
    case = Case(
        name="law", kind="classification", median=34, longest=256, batch=32, precision="bf16"
    )
    sizes = ("xlm-r-base", "xlm-r-large") if not bench.small else ("xlm-r-base",)
    models = [bench.model(size) for size in sizes]
    placement = Placement(zero_stage=1, micro_batch=32)
    times, count = (1, 1) if bench.small else (3, 8)
    found = list(
        errors(
            models,
            bench.world,
            placement,
            bench.folder,
            case,
            bench.gpu,
            times,
            count,
            torch.bfloat16,
        )
    )
    yield row(
        "predicted against measured seconds of an update, two calibrations, interleaved",
        "within 15 % each",
        ", ".join(f"{name} {said / took - 1:+.1%}" for name, said, took in found),
        all(abs(said / took - 1) <= 0.15 for _, said, took in found),
    )


def phases(bench: Bench) -> Iterator[Row]:
    """Kernels and host waits of an update, and the share of it that the device computes."""
    model, weights = bench.weights("xlm-r-base")
    placement, count = placed(bench, model), 10
    with closing(started(STUDY, weights, bench.world, placement)) as engine:
        runs = Runs(engine, STUDY, placement, model.vocab_rows)
        _, seconds = runs.each(count, rounds=1)
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
        with profile(activities=kinds) as seen:
            runs(count)
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            if bench.cuda:
                torch.cuda.set_sync_debug_mode("warn")
            runs(count)
            if bench.cuda:
                torch.cuda.set_sync_debug_mode("default")
    there = DeviceType.CUDA if bench.cuda else DeviceType.CPU
    events = [event for event in seen.key_averages() if event.device_type == there]
    kernels = sum(event.count for event in events) / count
    busy = sum(event.self_device_time_total for event in events) / 1e6 / count
    layers = model.depth
    planned = (
        speed.LAYER_LAUNCHES + speed.TENSOR_LAUNCHES * LAYER_TENSORS
    ) * layers + speed.STEP_LAUNCHES
    yield row(
        "kernels of an update, Base, against the planner's count",
        "within 15 %",
        f"{kernels:,.0f}, counted {planned:,.0f}",
        abs(planned / kernels - 1) <= 0.15,
    )
    yield reported("share of an update in which kernels run, Base", f"{busy / seconds:.0%}")
    places = {
        f"{Path(one.filename).name}:{one.lineno}"
        for one in waits
        if "synchroniz" in str(one.message)
    }
    number = sum("synchroniz" in str(one.message) for one in waits) / count
    yield row(
        "host waits of an update, Base, ZeRO-1",
        "≤ 1",
        f"{number:.1f} ({', '.join(sorted(places)) or 'none'})",
        number <= 1,
    )


def peer(bench: Bench) -> Iterator[Row]:
    """Tokens a second against Hugging Face's Trainer."""
    for case in (STUDY, FULL):
        model, weights = bench.weights("xlm-r-base")
        placement, features = placed(bench, model), made(case, EXAMPLES, model.vocab_rows)
        with closing(started(case, weights, bench.world, placement)) as engine:
            tokens, seconds = Runs(engine, case, placement, model.vocab_rows).each(bench.often(20))
        other = trainer(case, weights, features, "random", bench.folder / "trainer")
        count, spent = other(bench.often(40))
        ratio = tokens / seconds / (count / spent)
        yield row(
            f"tokens/s against Trainer, Base, {case.name} lengths",
            "≥ 1×",
            f"{ratio:.2f}×",
            ratio >= 1,
        )


def packing(bench: Bench) -> Iterator[Row]:
    """Padding left out, against padded, at the lengths of a study."""
    for size in ("xlm-r-base", "xlm-r-large"):
        model, weights = bench.weights(size)
        found = []
        for packed in (False, True):
            placement = placed(bench, model).model_copy(update={"packed": packed})
            with closing(started(STUDY, weights, bench.world, placement)) as engine:
                runs = Runs(engine, STUDY, placement, model.vocab_rows)
                found.append(runs.each(bench.often(15))[1])
        yield reported(
            f"padded against packed, seconds of an update, {size} (above 1, plan `packed`)",
            f"{found[0] / found[1]:.2f}",
        )


def xl(bench: Bench) -> Iterator[Row]:
    """XL alone on one device."""
    try:
        placed(bench, bench.model("xlm-r-xl"))
    except ValueError as error:
        yield row("XL on one device", "≤ 1.8 of its roofline", f"not run: {error}", False)
        return
    yield from update(bench, ("xlm-r-xl",))


# Layouts whose losses are held against the first one's, in bf16; and the first in fp32.
LAYOUTS = {
    "whole batch, ZeRO-1": Placement(micro_batch=32),
    "8 passes": Placement(micro_batch=4),
    "recomputed": Placement(micro_batch=32, checkpoint_activations=True),
    "packed": Placement(micro_batch=32, packed=True),
    "ZeRO-2": Placement(micro_batch=32, zero_stage=2),
    "ZeRO-3": Placement(micro_batch=32, zero_stage=3),
    "offloaded": Placement(micro_batch=32, zero_stage=2, offload_optimizer=True),
}


def bf16(bench: Bench) -> Iterator[Row]:
    """How far layouts agree in bf16, beside how far bf16 is from fp32."""
    model, weights = bench.weights("xlm-r-base")
    updates = 24
    features = made(FULL, 32 * updates, model.vocab_rows)
    first, *others = LAYOUTS
    plain = _losses(bench, weights, features, LAYOUTS[first], updates)
    exact = _losses(bench, weights, features, LAYOUTS[first], updates, "fp32")
    gap = _apart(plain, exact)
    yield reported("losses in bf16 against fp32: first update; 24 updates", _both(gap))
    for name in others:
        found = _apart(plain, _losses(bench, weights, features, LAYOUTS[name], updates))
        yield row(
            f"losses in bf16, {name} against {first}: first update; 24 updates",
            "≤ 3 × bf16's distance from fp32",
            _both(found),
            found[1] <= 3 * gap[1],
        )


def _losses(
    bench: Bench,
    weights: Weights,
    features: Features,
    placement: Placement,
    updates: int,
    precision: str = "bf16",
) -> list[float]:
    case = FULL
    recipe = case.recipe.model_copy(
        update={"precision": precision, "dropout": 0.0, "learning_rate": 2e-5}
    )
    kind = KINDS[case.kind]
    with closing(
        start_training(
            weights, lambda h: kind.head(h, case.task, recipe), recipe, placement, bench.world, 0
        )
    ) as engine:
        order = training_order(features.num_units, recipe, 0)[:updates]
        stream = Stream(features=features, kind=kind, recipe=recipe, order=order)
        run = TrainingRun(
            engine=engine,
            streams=[stream],
            turns=[0] * updates,
            recipe=recipe,
            placement=placement,
            seed=0,
        )
        return list(run_updates(run).per_update)


def _apart(one: list[float], other: list[float]) -> tuple[float, float]:
    """(of the first update, the most of all), relative."""
    apart = [abs(a - b) / abs(b) for a, b in zip(one, other, strict=True)]
    return apart[0], max(apart)


def _both(apart: tuple[float, float]) -> str:
    return f"{apart[0]:.1e}; {apart[1]:.1e}"


def scoring(bench: Bench) -> Iterator[Row]:
    """Scoring's seconds as planned, and what the device holds meanwhile."""
    model, weights = bench.weights("xlm-r-large")
    kind, recipe = KINDS[STUDY.kind], STUDY.recipe
    features = made(STUDY, 64 if bench.small else 6_000, model.vocab_rows)
    tokens, exported = float(features.lengths.sum()), bench.folder / "exported"
    # What is scored has a head: that of a training, exported as a step exports it.
    with closing(started(STUDY, weights, bench.world, placed(bench, model))) as engine:
        engine.export(exported, weights.beside())
    with closing(
        start_scoring(
            replace(weights, folder=exported),
            lambda hidden: kind.head(hidden, STUDY.task, recipe),
            recipe,
            Placement(),
            bench.world,
        )
    ) as engine:
        predict(engine.core, features, kind, recipe, bench.world)
        start = clock()
        predict(engine.core, features, kind, recipe, bench.world)
        seconds = clock() - start
    price = speed.price_on(model, Placement(), bench.gpu, training=False, fresh=False)
    flops = tokens * model.train_flops_per_token(42) / 3
    passes = math.ceil(tokens / speed.SCORING_TOKENS)
    said = price.seconds(updates=1, passes=passes, flops=flops)
    yield reported(
        f"tokens/s of scoring, Large (planned {tokens / said:,.0f})",
        f"{tokens / seconds:,.0f}",
    )


def ranks(bench: Bench) -> Iterator[Row]:
    """Two devices: an update's seconds, and the planner's peak, at every stage."""
    there = torch.cuda.device_count() if bench.cuda else 2
    size = "xlm-r-large"
    if there < 2:
        yield row(f"{size} on two devices, ZeRO-1 to 3", "reported", "not run: one device", False)
        return
    model, weights = bench.weights(size)
    for stage in (1,) if bench.small else (1, 2, 3):
        placement = Placement(workers=2, zero_stage=stage, micro_batch=16)
        found = measure(
            Request(
                weights=str(weights.folder),
                architecture=weights.architecture,
                recipe=STUDY.recipe.model_dump(),
                placement=placement.model_dump(),
                lengths=[42],
                warm=2,
                updates=bench.often(10),
            ),
            timeout_seconds=600 if bench.small else 90,
        )
        seconds = max(one.seconds for one in found) / bench.often(10)
        price = speed.price_on(model, placement, bench.gpu, training=True, fresh=True)
        flops = 32 * 42 * model.train_flops_per_token(42)
        said = price.seconds(updates=1, passes=1, flops=flops)
        yield row(
            f"time of an update as planned from bandwidths, {size}, 2 × ZeRO-{stage}",
            "within 15 %",
            f"{said / seconds - 1:+.0%} ({1e3 * seconds:.1f} ms)",
            abs(said / seconds - 1) <= 0.15,
        )


# The most telling first; the first two take five minutes together on one device.
PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "update": update,
    "leaks": leaks,
    "law": law,
    "phases": phases,
    "constants": constants,
    "peer": peer,
    "packing": packing,
    "xl": xl,
    "bf16": bf16,
    "scoring": scoring,
    "ranks": ranks,
}
