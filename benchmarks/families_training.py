"""Trainings of tiny models of every architecture: losses and types of numbers on every layout."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scaling.catalogue.architecture_entries import ARCHITECTURES
from tests.helpers.family_worker import apart, layouts, run_families, staged_family


def losses(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per architecture: figure, target, value, met."""
    for name in names or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            staged_family(folder, name)
            runs = {size: layouts(name, size) for size in (1, 2)}
            found = {
                words: one
                for size, own in runs.items()
                for words, one in run_families(folder, size, own).items()
            }
        full, lora = apart(found, name, lora=False), apart(found, name, lora=True)
        packed = "packed, " if ARCHITECTURES[name].packs else ""
        print(f"{name}: {full:.1e}, {lora:.1e}", flush=True)
        yield {
            "figure": "losses of 20 updates, ZeRO stages 0-3, 1 and 2 workers, recomputed,"
            f" {packed}LoRA, fp32, {name}",
            "target": "at most 5e-6 apart",
            "value": f"{full:.1e}; LoRA {lora:.1e}; {len(found)} trainings",
            "met": max(full, lora) <= 5e-6 and len(found) == sum(map(len, runs.values())),
        }


def types(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per architecture: figure, target, value, met."""
    for name in names or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            staged_family(folder, name)
            trained = run_families(folder, 1, [(name, stage, 8, ["bf16"]) for stage in (1, 2, 3)])
        passes = {
            f"{words} {what}": one
            for words, run in trained.items()
            for what, one in run.items()
            if what != "losses"
        }
        first, *rest = passes.values()
        differing = sorted(
            {
                key
                for one in rest
                for key in first.keys() | one.keys()
                if first.get(key) != one.get(key)
            }
        )
        tables = [key for key, kind in first.items() if " " in kind]
        print(f"{name}: {differing}", flush=True)
        yield {
            "figure": "types of buffers and norms, values of buffers: training, dev, test scoring,"
            f" stages 0-3, bf16, {name}",
            "target": "equal",
            "value": ", ".join(differing)
            or f"{len(tables)} buffers and {len(first) - len(tables)} norms and biases equal in"
            f" {len(passes)} passes",
            "met": not differing and len(passes) == 12,
        }


PARTS = {"losses": losses, "types": types}
