"""`make bench-chaos`: a small demo study on a cluster of several nodes that are killed at random.
About 25 minutes on a machine with nothing else to do. Seed by seed; what has run is not run again.

    python -m benchmarks.chaos --seeds 1 --first 2    # one seed of the injector, and the table
    python -m benchmarks.chaos --study-seeds 1        # 14 steps a run instead of 26
    python -m benchmarks.chaos --merge                # only write the table
    python -m benchmarks.chaos --afresh               # forget what has run

An earlier demo (tests/helpers/harm.yaml), cut: two depths instead of four, one arm besides `none`,
two targets, two seeds, five languages, fewer examples. The larger depth runs on gangs of two with
ZeRO-2 and resume points. Everything else is the same. What ran lies in runs/bench-chaos/STEPS/, a
line a seed.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.nodes import ROOT, Commits, Driver, Injector, Nodes, signed
from benchmarks.results_table import commit, write_results
from scaling.store.leases import working
from scaling.store.sessions import read_sessions
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import load_study
from tests.helpers.studies import HARM

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
    "languages": ["de", "sw", "te", "uk", "zh"],
    "limits": {"train": 128, "dev": 40, "test": 12},
    "max_devices": 2,
    "placement": {
        "e5-depth-2": {"workers": 1, "zero_stage": 1, "micro_batch": 16},
        "e5-depth-4": {"workers": 2, "zero_stage": 2, "micro_batch": 8, "resume_every": 6},
    },
}


RUNS = ROOT / "runs" / "bench-chaos"
_SCALING = [sys.executable, "-m", "scaling.cli"]


def write_study(folder: Path, study_seeds: int) -> Path:
    demo = yaml.safe_load(HARM.read_text())
    path = folder / "chaos.yaml"
    content = {**demo, **CUT, "seeds": list(range(study_seeds))}
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    return path


def command(*words: str) -> str:
    """What a command of the project says. CalledProcessError if it fails."""
    return subprocess.run(
        [*_SCALING, *words],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


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


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where the runs of one study lie."""

    folder: Path

    @property
    def study(self) -> Path:
        return self.folder / "chaos.yaml"

    @property
    def staged(self) -> Path:
        return self.folder / "staged"

    @property
    def plan(self) -> Plan:
        return make_plan(load_study(str(self.study)), Store.open(self.staged).read_lock())

    @property
    def calm(self) -> dict[str, Any]:
        """What came of the run that nothing disturbed."""
        found: dict[str, Any] = json.loads((self.folder / "calm.json").read_text())
        return found

    def storms(self) -> dict[int, dict[str, Any]]:
        """Seed of the injector → what came of its run, the last one of each."""
        path = self.folder / "storms.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return {run["seed"]: run for run in map(json.loads, lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults against a running study.")
    parser.add_argument("--seeds", type=int, default=5, help="Seeds of the injector.")
    parser.add_argument("--kills", type=int, default=7, help="Kills of each.")
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--study-seeds", type=int, default=2, help="Of the study: 13 steps each.")
    parser.add_argument("--merge", action="store_true", help="Run nothing, write the table.")
    parser.add_argument("--afresh", action="store_true", help="Forget what has run.")
    parser.add_argument("--dry", action="store_true", help="Print, write no results.")
    given = parser.parse_args()
    kept = Kept(folder=RUNS / f"study-seeds-{given.study_seeds}")
    if given.afresh:
        shutil.rmtree(kept.folder, ignore_errors=True)
    if not given.merge:
        with signed(), tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
            run_calm(kept, given.study_seeds)
            for seed in range(given.first, given.first + given.seeds):
                if seed not in kept.storms():
                    run_storm(kept, Path(temporary), seed, given.kills)
    rows = figures(kept)
    if given.dry:
        print(json.dumps(rows, indent=1))
    else:
        write_results("chaos", rows)


def run_calm(kept: Kept, study_seeds: int) -> None:
    """Stage the study and run it undisturbed, unless that was done."""
    if (kept.folder / "calm.json").exists():
        return
    shutil.rmtree(kept.folder, ignore_errors=True)
    kept.folder.mkdir(parents=True)
    write_study(kept.folder, study_seeds)
    command("stage", str(kept.study), "--store", str(kept.staged))
    path = kept.folder / "calm"
    run = attempt(kept, path, "calm", seed=0, kills=0)
    again = time.monotonic()
    said = command("run", str(kept.study), "--store", str(path))
    run |= {
        "resubmit_seconds": time.monotonic() - again,
        "resubmitted": "nothing to run" in said,
        "overhead": per_cell_seconds(kept.plan, Store.open(path)),
        "expected": science(kept.plan, Store.open(path)),
    }
    (kept.folder / "calm.json").write_text(json.dumps(run))


def run_storm(kept: Kept, folder: Path, seed: int, kills: int) -> None:
    """Run the study under fire, and keep what came of it."""
    path = folder / f"storm-{seed}"
    run = attempt(kept, path, f"storm {seed}", seed=seed, kills=kills)
    expected = kept.calm["expected"]
    found = json.loads(json.dumps(science(kept.plan, Store.open(path))))
    run |= {
        "equal": sum(found[step] == expected[step] for step in expected),
        "noticed": preemptions(Store.open(path)),
    }
    with (kept.folder / "storms.jsonl").open("a") as stream:
        print(json.dumps(run), file=stream)


def attempt(kept: Kept, path: Path, name: str, *, seed: int, kills: int) -> dict[str, Any]:
    """One run of the study on a cluster of its own.

    Args:
        kept: The study.
        path: Where its store goes.
        name: What the run is called.
        seed: Of the injector.
        kills: How many it may do.
    """
    late: Counter[str] = Counter()
    shutil.copytree(kept.staged, path, copy_function=os.link)
    plan = kept.plan
    commits = Commits(path, plan.steps)
    with Nodes(3) as nodes:
        injector = Injector(nodes, seed, kills)
        driver = Driver(kept.study, path, nodes.address, path.with_suffix(".log"))
        seconds = injector.run(driver, commits)
        left = nodes.orphans()
        if left:
            # Ray ends what is its own by itself, if later than the study.
            late.update(left)
            time.sleep(60)
            left = nodes.orphans(0.0)
    left += nodes.outlived()
    held = working(Store.open(path), Store.open(path).leases().values())
    left += [f"lease on {item.step}" for item in held]
    print(
        f"{name}: {seconds:.0f} s, {driver.starts} starts, {len(injector.done)} kills, left {left}",
        flush=True,
    )
    return {
        "seed": seed,
        "seconds": seconds,
        "starts": driver.starts,
        "kills": injector.done,
        "twice": sorted(step for step, count in commits.read().items() if count > 1),
        "left": left,
        "late": dict(late),
        "steps": len(plan.steps),
        "commit": commit(),
    }


def figures(kept: Kept) -> list[dict[str, Any]]:
    """The table, of all that has run."""
    calm, storms = kept.calm, list(kept.storms().values())
    by_kind = Counter(kill for run in storms for kill in run["kills"])
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(by_kind.items()))
    total, overhead = by_kind.total(), calm["overhead"]
    equal, wanted = sum(run["equal"] for run in storms), sum(run["steps"] for run in storms)
    runs = [calm, *storms]
    twice = sum(len(run["twice"]) for run in runs)
    left = [one for run in runs for one in run["left"]]
    late: Counter[str] = Counter()
    for run in runs:
        late.update(run["late"])
    noticed = [note for run in storms for note in run["noticed"]]
    minutes = sum(run["seconds"] for run in runs) / 60
    stormy = sum(run["seconds"] for run in storms) / 60 / max(1, len(storms))
    commits = sorted({run["commit"] for run in runs})
    rows = [
        (
            f"kills over {len(storms)} seeds of the injector, studies of {calm['steps']} steps"
            f" ({kinds})",
            "≥ 30 over ≥ 5",
            total,
            total >= 30 and len(storms) >= 5,
        ),
        (
            "records equal to the undisturbed run, bit for bit",
            "all",
            f"{equal} of {wanted}",
            bool(storms) and equal == wanted,
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
        ("driver starts needed", "", sum(run["starts"] for run in storms), None),
        (
            "trainings that left a drained node between updates (with a resume point)",
            "",
            f"{len(noticed)} ({sum('not saved' not in note for note in noticed)})",
            None,
        ),
        (
            "minutes per seed under fire, mean (undisturbed first)",
            "",
            f"{stormy:.1f} ({calm['seconds'] / 60:.1f})",
            None,
        ),
        (
            "resubmitting the finished study, seconds",
            "≤ 15, no training",
            round(calm["resubmit_seconds"], 1),
            calm["resubmit_seconds"] <= 15 and calm["resubmitted"],
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
        ("minutes in all", "≤ 25", round(minutes, 1), minutes <= 25),
        ("commits at which the runs ran", "", ", ".join(commits), None),
    ]
    return [dict(zip(("figure", "target", "value", "met"), row, strict=True)) for row in rows]


if __name__ == "__main__":
    main()
