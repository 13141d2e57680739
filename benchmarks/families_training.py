"""Trainings of tiny models of every architecture: losses and types of numbers on every layout."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.catalogue.architecture_entries import ARCHITECTURES
from tests.helpers.family_worker import Run, apart, layouts, run_families, staged_family


def trained(runs: Mapping[int, Sequence[Run]], *, moved: bool = False) -> dict[str, Any]:
    """Size of the world → trainings: what `run_families` says of each, of tiny models made here."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        found: dict[str, Any] = {}
        for name in {run[0] for own in runs.values() for run in own}:
            staged_family(folder, name, moved=moved)
        for size, own in runs.items():
            found |= run_families(folder, size, own)
    return found


def of_rounding(name: str, first: Sequence[float]) -> str:
    """How far the losses of the first layout go if every weight moves by its last place."""
    (moved,) = trained({1: layouts(name, 1)[:1]}, moved=True).values()
    far = max(abs(a - b) for a, b in zip(first, moved["losses"], strict=True))
    return f"; in one layout {far:.1e} where all weights move by one unit in the last place"


def losses(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per architecture: figure, target, value, met."""
    names = names or list(ARCHITECTURES)
    found = trained(
        {size: [run for name in names for run in layouts(name, size)] for size in (1, 2)}
    )
    for name in names:
        full, lora = apart(found, name, lora=False), apart(found, name, lora=True)
        number = sum(words.startswith(f"{name}/") for words in found)
        met = max(full, lora) <= 5e-6
        first = next(one["losses"] for words, one in found.items() if words.startswith(f"{name}/"))
        packed = "packed, " if ARCHITECTURES[name].packs else ""
        yield {
            "figure": "losses of 20 updates, ZeRO stages 0-3, 1 and 2 workers, recomputed,"
            f" {packed}LoRA, fp32, {name}",
            "target": "at most 5e-6 apart",
            "value": f"{full:.1e}; LoRA {lora:.1e}; {number} trainings"
            + ("" if met else of_rounding(name, first)),
            "met": met and number == len(layouts(name, 1) + layouts(name, 2)),
        }


def types(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row per architecture: figure, target, value, met."""
    names = names or list(ARCHITECTURES)
    found = trained({1: [(name, stage, 8, ["bf16"]) for name in names for stage in (1, 2, 3)]})
    for name in names:
        passes = [
            one
            for words, run in found.items()
            if words.startswith(f"{name}/")
            for what, one in run.items()
            if what != "losses"
        ]
        first = passes[0]
        keys = {key for one in passes for key in one}
        differing = sorted(
            key for key in keys if any(one.get(key) != first.get(key) for one in passes)
        )
        # Those of buffers have a hash of the values behind the type.
        buffers = sum(" " in kind for kind in first.values())
        yield {
            "figure": "types of buffers and norms, values of buffers: training, dev, test scoring,"
            f" stages 0-3, bf16, {name}",
            "target": "equal",
            "value": f"differ: {', '.join(differing)}"
            if differing
            else f"{buffers} buffers and {len(first) - buffers} norms and biases equal in"
            f" {len(passes)} passes",
            "met": not differing and len(passes) == 12,
        }


PARTS = {"losses": losses, "types": types}
