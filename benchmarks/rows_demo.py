"""A part of the demo study, every phase of it, with the word embeddings in use trained alone and
with all of them: what the records say, and seconds of the processor.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scaling.planning.progress import current_plan
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.study import load_study

ROOT = Path(__file__).parents[1]
PART: dict[str, Any] = {
    "models": ["e5-depth-2"],
    "arms": ["none", "name_types"],
    "targets": ["applications"],
    "seeds": [0],
}


def whole_or_few(folder: Path) -> dict[str, Any]:
    """The row of this part: all embeddings, those in use, and all of them again."""
    found = {
        name: _run(folder / name, whole=name != "in use") for name in ("whole", "in use", "again")
    }
    first, few, again = (found[name][0] for name in ("whole", "in use", "again"))
    equal = all(first[step].science() == again[step].science() for step in first)
    apart = max(
        abs(one - other)
        for step in first
        for one, other in zip(_numbers(first[step]), _numbers(few[step]), strict=True)
    )
    ratio = found["in use"][1] / min(found["whole"][1], found["again"][1])
    return {
        "figure": (
            "demo study, in part: records with rows in use off, twice; with them on against off;"
            " seconds with them on over off"
        ),
        "target": "equal bit for bit; ≤ 1e-6; ≤ 1",
        "value": (
            f"{len(first)} records {'equal' if equal else 'NOT EQUAL'}, weights too;"
            f" {apart:.1e}; {ratio:.2f} (of the processor,"
            f" {found['in use'][1]:.0f} s against {found['whole'][1]:.0f} and"
            f" {found['again'][1]:.0f})"
        ),
        "met": equal and apart <= 1e-6 and ratio <= 1,
    }


def _run(folder: Path, *, whole: bool) -> tuple[Mapping[str, StepRecord], float]:
    """Records by step, and seconds of the processor without those of staging."""
    folder.mkdir()
    study = yaml.safe_load((ROOT / "scaling/catalogue/studies/demo.yaml").read_text())
    study["placement"]["default"]["whole_vocabulary"] = whole
    file = folder / "demo.yaml"
    file.write_text(yaml.safe_dump({**study, **PART}))
    store = folder / "store"
    _scaling("stage", file, store)
    seconds = _scaling("run", file, store, "--here")
    opened = Store.open(store)
    plan = current_plan(load_study(str(file)), opened)
    return opened.records(plan.steps), seconds


def _scaling(command: str, study: Path, store: Path, *more: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [
            *(sys.executable, "-m", "scaling.cli", command, str(study)),
            *("--store", str(store), *more),
        ],
        check=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _numbers(record: StepRecord) -> Iterator[float]:
    """Losses of a training and its score on dev; all values of a scoring."""
    if record.training is not None:
        yield record.training.first_loss
        yield record.training.last_loss
        yield record.training.dev_score or 0.0
    yield from (row.value for row in record.rows)
