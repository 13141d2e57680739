"""`make bench-chaos`: a small demo study on a cluster of several nodes that are killed at random.
About 25 minutes.

Cut from the demo study: two depths instead of four, one arm besides `none`, two targets, two seeds,
five languages, fewer examples. The larger depth runs on gangs of two with ZeRO-2 and resume points.
Everything else is the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from benchmarks.nodes import ROOT, Commits, Driver, Injector, Nodes, signed
from benchmarks.results_table import write_results
from scaling.store.leases import working
from scaling.store.sessions import read_sessions
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import load_study

CUT: dict[str, Any] = {
    # The plan must not depend on what happens: re-runs of collapsed trainings have tests of their
    # own.
    "reruns": 0,
    "name": "chaos",
    "title": "The demo study, cut for faults",
    "notes": [],
    "models": ["e5-depth-2", "e5-depth-4"],
    "arms": ["none", "word_order"],
    "targets": ["applications", "messages"],
    "seeds": [0, 1],
    "languages": ["de", "sw", "te", "uk", "zh"],
    "limits": {"train": 128, "dev": 40, "test": 12},
    "max_devices": 2,
    "placement": {
        "e5-depth-2": {"workers": 1, "zero_stage": 1, "micro_batch": 16},
        "e5-depth-4": {"workers": 2, "zero_stage": 2, "micro_batch": 8, "resume_every": 6},
    },
}


def write_study(folder: Path) -> Path:
    demo = yaml.safe_load((ROOT / "scaling" / "catalogue" / "studies" / "demo.yaml").read_text())
    path = folder / "chaos.yaml"
    path.write_text(yaml.safe_dump({**demo, **CUT}, allow_unicode=True))
    return path


def science(plan: Plan, store: Store) -> dict[str, Any]:
    return {step: record.science() for step, record in store.records(plan.steps).items()}


def per_cell_seconds(plan: Plan, store: Store) -> list[float]:
    """Seconds that a step took besides its work (loading, saving, committing), the first of each
    session left out.
    """
    found = []
    records = store.records(plan.steps)
    for session in read_sessions(store).values():
        steps = session.steps
        found += [
            records[step].cost.wall_seconds - records[step].cost.work_seconds for step in steps[1:]
        ]
    return sorted(found)


def preemptions(store: Store) -> list[str]:
    """What trainings said that left a drained node."""
    notes = [json.loads(store.read(entry.name)) for entry in store.entries("failures")]
    return [note["error"] for note in notes if note.get("kind") == "preempted"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults against a running study.")
    parser.add_argument("--seeds", type=int, default=5, help="Seeds of the injector.")
    parser.add_argument("--kills", type=int, default=7, help="Kills of each.")
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--dry", action="store_true", help="Print, write no results.")
    given = parser.parse_args()
    with signed(), tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = Path(temporary)
        rows = measure(folder, given.first, given.seeds, given.kills)
    if given.dry:
        print(json.dumps(rows, indent=1))
    else:
        write_results("chaos", rows)


def measure(folder: Path, first_seed: int, seeds: int, kills: int) -> list[dict[str, Any]]:
    study = write_study(folder)
    started = time.monotonic()
    staged = folder / "staged"
    scaling = [sys.executable, "-m", "scaling.cli"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*scaling, "stage", str(study), "--store", str(staged)],
        check=True,
        cwd=ROOT,
        env=environment,
    )
    plan = make_plan(load_study(str(study)), Store.open(staged).read_lock())

    late: Counter[str] = Counter()

    def attempt(
        name: str, seed: int, count: int
    ) -> tuple[Store, Injector, Commits, Driver, float, list[str]]:
        path = folder / name
        shutil.copytree(staged, path, copy_function=os.link)
        commits = Commits(path, plan.steps)
        with Nodes(3) as nodes:
            injector = Injector(nodes, seed, count)
            driver = Driver(study, path, nodes.address, folder / f"{name}.log")
            seconds = injector.run(driver, commits)
            left = nodes.orphans()
            if left:
                # Ray ends what is its own by itself, if later than the study.
                late.update(left)
                time.sleep(60)
                left = nodes.orphans(0.0)
        left += nodes.outlived()
        store = Store.open(path)
        left += [f"lease on {item.step}" for item in working(store, store.leases().values())]
        print(
            f"{name}: {seconds:.0f} s, {driver.starts} starts, {len(injector.done)} kills, left"
            f" {left}",
            flush=True,
        )
        return store, injector, commits, driver, seconds, left

    calm, _, commits, _, calm_seconds, left = attempt("calm", 0, 0)
    expected = science(plan, calm)
    overhead = per_cell_seconds(plan, calm)
    again = time.monotonic()
    done = subprocess.run(
        [*scaling, "run", str(study), "--store", str(folder / "calm")],
        check=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    resubmit_seconds = time.monotonic() - again
    twice = sum(count > 1 for count in commits.read().values())
    equal, starts, stormy_seconds, noticed = 0, 0, 0.0, list[str]()
    by_kind: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + seeds):
        store, injector, commits, driver, seconds, more = attempt(f"storm-{seed}", seed, kills)
        found = science(plan, store)
        equal += sum(found[step] == expected[step] for step in plan.steps)
        twice += sum(count > 1 for count in commits.read().values())
        by_kind.update(injector.done)
        noticed += preemptions(store)
        left += more
        starts += driver.starts
        stormy_seconds += seconds
    total, wanted = sum(by_kind.values()), len(plan.steps) * seeds
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(by_kind.items()))
    figures = [
        (
            f"kills over {seeds} seeds of the injector ({kinds})",
            "≥ 30 over ≥ 5",
            total,
            total >= 30 and seeds >= 5,
        ),
        (
            "records equal to the undisturbed run, bit for bit",
            "all",
            f"{equal} of {wanted}",
            equal == wanted,
        ),
        ("steps committed twice (kernel's count of record files)", "0", twice, twice == 0),
        (
            "orphans: placement groups, actors, processes, leases (Ray's own after another minute)",
            "0",
            len(left),
            not left,
        ),
        (
            "Ray's own that outlived the study by 40 s, by kind, all gone 60 s later",
            "named",
            ", ".join(f"{count} {name}" for name, count in sorted(late.items())) or "none",
            None,
        ),
        ("driver starts needed", "", starts, None),
        (
            "trainings that left a drained node between updates (with a resume point)",
            "",
            f"{len(noticed)} ({sum('not saved' not in note for note in noticed)})",
            None,
        ),
        (
            "minutes per seed under fire, mean (undisturbed first)",
            "",
            f"{stormy_seconds / 60 / max(1, seeds):.1f} ({calm_seconds / 60:.1f})",
            None,
        ),
        (
            "resubmitting the finished study, seconds",
            "≤ 15, no training",
            round(resubmit_seconds, 1),
            resubmit_seconds <= 15 and "nothing to run" in done.stdout,
        ),
        (
            "overhead per step after a session's first, seconds, median",
            "≤ 1",
            round(overhead[len(overhead) // 2], 2),
            overhead[len(overhead) // 2] <= 1,
        ),
        (
            "overhead per step after a session's first, seconds, largest",
            "",
            round(overhead[-1], 2),
            None,
        ),
        (
            "minutes in all",
            "≤ 25",
            round((time.monotonic() - started) / 60, 1),
            time.monotonic() - started <= 1500,
        ),
    ]
    return [
        dict(zip(("figure", "target", "value", "met"), figure, strict=True)) for figure in figures
    ]


if __name__ == "__main__":
    main()
