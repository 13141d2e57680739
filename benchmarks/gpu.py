"""`make bench-gpu`: Base, Large and XL shapes in bf16 on one GPU: MFU, peak memory, the planner's error, the peer.

Random weights of the full vocabulary, 128 real tokens a sequence, packed, MFU of the data sheet's peak. Written for a
GPU, not run on one yet: no figure of it is committed. The other benchmarks run on a GPU with the same commands.
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
from scaling.calibration import Calibration, is_device
from scaling.engine import World, join_world
from scaling.hardware import GPUS, Placement
from scaling.launch import quiet
from scaling.memory import memory
from scaling.models import MODELS, ModelSpec

CASE = Case(name="full sequences", kind="classification", median=10_000, longest=128, batch=32)
SIZES = ("xlm-r-base", "xlm-r-large", "xlm-r-xl")


def measure(model: ModelSpec, world: World, updates: int = 8) -> tuple[float, float, float, float]:
    """(model FLOP/s, ratio to Trainer or 0, peak bytes, predicted bytes)."""
    with tempfile.TemporaryDirectory() as folder:
        weights = write_model(model, Path(folder) / "model")
        features = made(CASE, 32 * 40, 5_000)
        torch.cuda.reset_peak_memory_stats()
        run, engine = ours(CASE, weights, features, world, packed=True)
        run(2)
        tokens, seconds = run(updates)
        peak = torch.cuda.max_memory_reserved()
        engine.close()
        torch.cuda.empty_cache()
        ratio = 0.0
        if model.architecture == "xlm-roberta":
            other, spent = trainer(CASE, weights, features, "random", Path(folder))(updates)
            ratio = (tokens / seconds) / (other / spent)
    predicted = memory(model, CASE.recipe, Placement(micro_batch=CASE.batch)).total
    return model.train_flops_per_token(128) * tokens / seconds, ratio, float(peak), predicted


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("bench-gpu needs a GPU; this machine has none")
    quiet()
    world = join_world()
    name = torch.cuda.get_device_name()
    gib = torch.cuda.get_device_properties(0).total_memory / 2**30
    here = Calibration.model_construct(device=name, device_gib=gib)
    sheet = next((gpu for gpu in GPUS.values() if is_device(here, gpu)), None)
    peak_flops = sheet.bf16_tflops * 1e12 if sheet is not None else ceiling(world)
    rows = []
    for size in SIZES:
        if memory(MODELS[size], CASE.recipe, Placement(micro_batch=CASE.batch)).total > 0.92 * gib * 2**30:
            print(f"{size} does not fit on one {name}", flush=True)
            continue
        flops, ratio, peak, predicted = measure(MODELS[size], world)
        mfu, error = flops / peak_flops, predicted / peak - 1
        rows += [
            (f"{size}, bf16, 128 tokens, MFU on {name}", "≥ 45 %", f"{mfu:.0%}", mfu >= 0.45),
            (f"{size}, predicted against measured peak memory", "within 15 %", f"{error:+.1%}", abs(error) <= 0.15),
        ]  # fmt: skip
        if ratio:
            rows.append((f"{size}, tokens/s against Trainer, full sequences", "≥ 1×", f"{ratio:.2f}×", ratio >= 1))
    keys = ("figure", "target", "value", "met")
    write_results("gpu", [dict(zip(keys, row, strict=True)) for row in rows])


if __name__ == "__main__":
    main()
