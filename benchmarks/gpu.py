"""`make bench-gpu`: Base, Large and XL shapes in bf16 on one GPU: MFU, peak memory, the planner's
error, the peer.

Random weights of the full vocabulary, 128 real tokens a sequence, packed, MFU of the data sheet's
peak. Written for a GPU, not run on one yet: no figure of it is committed. The other benchmarks run
on a GPU with the same commands.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from benchmarks.peers import Case, made, ours, trainer
from benchmarks.random_models import write_model
from benchmarks.results_table import write_results
from benchmarks.train import ceiling
from scaling.catalogue.hardware import GIB, GPUS, GpuSpec, Placement
from scaling.catalogue.models import MODELS, ModelSpec
from scaling.cluster.session import quiet
from scaling.encoders.engine import join_world
from scaling.encoders.world import World
from scaling.planning.calibration import Calibration, is_device
from scaling.planning.memory import demand_of, memory
from scaling.planning.placement import describe, fitting

CASE = Case(name="full sequences", kind="classification", median=10_000, longest=128, batch=32)
SIZES = ("xlm-r-base", "xlm-r-large", "xlm-r-xl")


def measure(
    model: ModelSpec, world: World, placement: Placement, updates: int = 8
) -> tuple[float, float, float]:
    """(model FLOP/s, ratio to Trainer or 0, peak bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        weights = write_model(model, Path(folder) / "model")
        features = made(CASE, 32 * 40, 5_000)
        torch.cuda.reset_peak_memory_stats()
        run, engine = ours(CASE, weights, features, world, placement)
        run(2)
        tokens, seconds = run(updates)
        peak = torch.cuda.max_memory_reserved()
        engine.close()
        torch.cuda.empty_cache()
        ratio = 0.0
        if model.architecture == "xlm-roberta":
            other, spent = trainer(CASE, weights, features, "random", Path(folder))(updates)
            ratio = (tokens / seconds) / (other / spent)
    return model.train_flops_per_token(128) * tokens / seconds, ratio, float(peak)


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("bench-gpu needs a GPU; this machine has none")
    quiet()
    world = join_world()
    name = torch.cuda.get_device_name()
    gib = torch.cuda.get_device_properties(0).total_memory / GIB
    here = Calibration.model_construct(device=name, device_gib=gib)
    unknown = GpuSpec(
        name=name, memory_gib=gib, bf16_tflops=ceiling(world) / 1e12, dollars_per_hour=0.0
    )
    gpu = next((gpu for gpu in GPUS.values() if is_device(here, gpu)), unknown)
    demand = demand_of(CASE.recipe, {CASE.kind})
    rows = []
    for size in SIZES:
        try:
            placement = fitting(MODELS[size], demand, gpu, most_workers=1)[1].model_copy(
                update={"packed": True}
            )
        except ValueError as error:
            print(error, flush=True)
            continue
        flops, ratio, peak = measure(MODELS[size], world, placement)
        print(f"{size}: {describe(placement)}", flush=True)
        mfu, off = (
            flops / gpu.bf16_tflops / 1e12,
            memory(MODELS[size], demand, placement).total / peak - 1,
        )
        rows += [
            (f"{size}, bf16, 128 tokens, MFU on {name}", "≥ 45 %", f"{mfu:.0%}", mfu >= 0.45),
            (
                f"{size}, predicted against measured peak memory",
                "within 15 %",
                f"{off:+.1%}",
                abs(off) <= 0.15,
            ),
        ]
        if ratio:
            rows.append(
                (
                    f"{size}, tokens/s against Trainer, full sequences",
                    "≥ 1×",
                    f"{ratio:.2f}×",
                    ratio >= 1,
                )
            )
    keys = ("figure", "target", "value", "met")
    write_results("gpu", [dict(zip(keys, row, strict=True)) for row in rows])


if __name__ == "__main__":
    main()
