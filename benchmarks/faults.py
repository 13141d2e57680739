"""`make bench-faults`: a small study under every fault that was ever seen to lose, alter or repeat
work, or to end a run without a clear word. In parts, each of which runs alone and resumes.

    python -m benchmarks.faults                    # all parts; what has run is not run again
    python -m benchmarks.faults --part one --seeds 2 --only "disk full"
    python -m benchmarks.faults --merge            # only write the table, of what ran here
    python -m benchmarks.faults --afresh           # forget what has run

Processes, disks and networks fail by signals, full mounts and proxies on loopback; only clocks are
injected. What ran lies in runs/bench-faults/PART.jsonl, a line a run. Needs the right to mount.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_case import Calm, Case, Kind, Missed, calm_in, serve
from benchmarks.fault_flips import flips_alone
from benchmarks.fault_kinds import KINDS
from benchmarks.fault_network import NETWORK, RemoteCase
from benchmarks.fault_pairs import PAIRS
from benchmarks.fault_ray import RAY, RAY_PAIRS, RayCase
from benchmarks.nodes import ROOT
from benchmarks.results_table import FOLDER, commit, write_results
from tests.helpers.s3_server import object_store

RUNS = ROOT / "runs" / "bench-faults"
# Tries to have a fault strike before a study is over.
TRIES = 4


def run_kind(
    make: Callable[..., Case], calm: Calm, folder: Path, name: str, kind: Kind, seed: int
) -> dict[str, Any] | None:
    """What became of a study under one fault; None if the fault came too late, every time."""
    for attempt in range(TRIES):
        # The same for a kind and a seed, whatever else runs.
        chance = random.Random(f"{name} {seed} {attempt}")
        own = folder / f"{re.sub('[^A-Za-z0-9]+', '-', name)}-{seed}-{attempt}"
        own.mkdir()
        case = make(calm=calm, folder=own, random=chance, store_path=own / "store")
        started = time.monotonic()
        try:
            kind(case)
            verdict = case.verdict or case.judge()
        except Missed as missed:
            print(f"  {name}, seed {seed}: missed ({missed})", flush=True)
            continue
        # Whatever it is: the other runs go on, and this one counts as bad.
        except Exception:  # noqa: BLE001
            verdict = {"broken": traceback.format_exc()}
        finally:
            for process in case.processes:
                if process.exitcode is None:
                    process.kill()
                    process.join()
        return {
            "kind": name,
            "seed": seed,
            "seconds": round(time.monotonic() - started, 1),
            **({"late": case.late} if isinstance(case, RayCase) else {}),
            **verdict,
        }
    return None


def is_good(run: dict[str, Any]) -> bool:
    return (
        "broken" not in run
        and run["equal"] == run["steps"]
        and not (run["twice"] or run["lost"] or run["hung"] or run["left"] or run["complaints"])
    )


def read(part: str) -> list[dict[str, Any]]:
    path = RUNS / f"{part}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(part: str, run: dict[str, Any]) -> None:
    RUNS.mkdir(parents=True, exist_ok=True)
    with (RUNS / f"{part}.jsonl").open("a") as stream:
        print(json.dumps({**run, "commit": commit()}), file=stream)
    if is_good(run):
        print(f"  {run['kind']}, seed {run['seed']}: {run['seconds']} s, ok", flush=True)
    else:
        print(f"  {run['kind']}, seed {run['seed']}: {json.dumps(run, indent=1)}", flush=True)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Kinds of faults that are run by one injector."""

    kinds: dict[str, Kind]
    seeds: int
    make: Callable[..., Case] = Case


PARTS = {
    "one": Part(kinds=KINDS, seeds=2),
    "pairs": Part(kinds=PAIRS, seeds=2),
    "network": Part(kinds=NETWORK, seeds=1),
    "ray": Part(kinds=RAY, seeds=1, make=RayCase),
    "ray-pairs": Part(kinds=RAY_PAIRS, seeds=1, make=RayCase),
}
FLIPS = 600


def run_part(name: str, part: Part, seeds: int, first: int, only: str) -> None:
    """Run the kinds of a part, each with so many seeds, as far as they have not run well."""
    done = {(run["kind"], run["seed"]) for run in read(name) if is_good(run)}
    todo = [
        (kind, seed)
        for seed in range(first, first + (seeds or part.seeds))
        for kind in part.kinds
        if only in kind and (kind, seed) not in done
    ]
    if not todo:
        return
    serve()
    # Ray's sockets and ours lie below it: short.
    with (
        tempfile.TemporaryDirectory(prefix="fl", dir="/tmp", ignore_cleanup_errors=True) as folder,
        object_store() if name == "network" else nullcontext() as objects,
    ):
        calm = calm_in(RUNS / "calm")
        make = partial(RemoteCase, objects=objects) if name == "network" else part.make
        for kind, seed in todo:
            run = run_kind(make, calm, Path(folder), kind, part.kinds[kind], seed)
            if run is not None:
                keep(name, run)


def run_flip_part(flips: int, seed: int) -> None:
    """Turn bits, unless as many were turned already."""
    if any(run["flips"] >= flips and run["seed"] == seed for run in read("flips")):
        return
    serve()
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as folder:
        started = time.monotonic()
        found = flips_alone(calm_in(RUNS / "calm"), Path(folder), flips, seed)
        RUNS.mkdir(parents=True, exist_ok=True)
        seconds = round(time.monotonic() - started, 1)
        with (RUNS / "flips.jsonl").open("a") as stream:
            print(
                json.dumps({"seed": seed, "seconds": seconds, **found, "commit": commit()}),
                file=stream,
            )
        print(json.dumps(found, indent=1), flush=True)


def latest(part: str) -> list[dict[str, Any]]:
    """The last run of each kind and seed: what failed before it was mended is history."""
    return list({(run["kind"], run["seed"]): run for run in read(part)}.values())


def figures() -> list[dict[str, Any]]:
    """The table, from all that has run."""
    rows = []
    for ray, names in ((False, ("one", "pairs", "network")), (True, ("ray", "ray-pairs"))):
        by_part = {name: latest(name) for name in names}
        if any(by_part.values()):
            rows += _of_runs(by_part, ray=ray)
    rows += _of_flips() if read("flips") else []
    # Parts that ran elsewhere keep their rows.
    earlier = {row["figure"]: row["value"] for row in json.loads(RESULTS.read_text())}
    took = {**earlier, **{figure: value for figure, _, value, _ in rows}}
    minutes = sum(took.get(figure, 0.0) for figure in MINUTES)
    rows.append(("minutes of all parts", "≤ 75", round(minutes, 1), minutes <= 75))
    return [dict(zip(("figure", "target", "value", "met"), row, strict=True)) for row in rows]


Row = tuple[str, str, Any, bool | None]
RESULTS = FOLDER / "faults.json"
MINUTES = ("minutes of studies", "on Ray: minutes of studies", "minutes of bit flips")


def _total(what: str, of: list[dict[str, Any]]) -> int:
    return sum(len(run[what]) if isinstance(run[what], list) else run[what] for run in of)


def _of_runs(by_part: dict[str, list[dict[str, Any]]], *, ray: bool) -> list[Row]:
    """Of the parts without Ray, or of those on it."""
    runs = [run for found in by_part.values() for run in found]
    broken = [run for run in runs if "broken" in run]
    whole = [run for run in runs if "broken" not in run]
    pairs = by_part["ray-pairs" if ray else "pairs"]
    kinds = {run["kind"] for run in runs}
    steps, equal = _total("steps", whole), _total("equal", whole)
    spoilt = _total("twice", whole) + _total("lost", whole)
    twice = _total("twice", [run for run in pairs if run in whole])
    complaints = _total("complaints", whole) + len(broken)
    minutes = sum(run["seconds"] for run in runs) / 60
    rows: list[Row] = [
        (
            "studies of 7 steps under a fault: runs",
            "" if ray else "≥ 60",
            len(runs),
            None if ray else len(runs) >= 60,
        ),
        (
            "kinds of faults",
            "" if ray else "≥ 20",
            len(kinds),
            None if ray else len(kinds) >= 20,
        ),
        (
            "records equal to those of the calm run",
            "all",
            f"{equal} of {steps}",
            bool(steps) and equal == steps and not broken,
        ),
        ("finished work lost, altered or done twice", "0", spoilt, not spoilt),
        ("runs that hang", "0", _total("hung", whole), not _total("hung", whole)),
        (
            "left after the run and `gc`: processes, leases, parts, temporary folders",
            "0",
            _total("left", whole),
            not _total("left", whole),
        ),
        (
            "a traceback, a wrong exit code, a refusal without the file's name, a run disturbed",
            "0",
            complaints,
            not complaints,
        ),
        (
            "two drivers on one store, disturbed and not: studies",
            "" if ray else "≥ 10",
            len(pairs),
            None if ray else len(pairs) >= 10,
        ),
        ("two drivers: steps done or committed twice", "0", twice, bool(pairs) and not twice),
    ]
    if ray:
        late = sorted({name for run in whole for name in run["late"]})
        rows.append(
            (
                "Ray's own processes that outlive a driver, all gone 60 s later",
                "named",
                ", ".join(late) or "none",
                None,
            )
        )
    rows += [
        (MINUTES[0], "", round(minutes, 1), None),
        ("commits at which the runs ran", "", _commits(runs), None),
    ]
    return [(f"on Ray: {figure}" if ray else figure, *rest) for figure, *rest in rows]


def _of_flips() -> list[Row]:
    flips = read("flips")
    counts: Counter[str] = Counter()
    for found in flips:
        counts.update(found["counts"])
    ways = ", ".join(
        f"{counts[name]} {name}"
        for name in ("refused", "healed", "harmless", "another error", "other content")
    )
    total = sum(found["flips"] for found in flips)
    minutes = sum(found["seconds"] for found in flips) / 60
    return [
        (
            f"bit flips over staged, cached and recorded files ({ways})",
            "≥ 500",
            total,
            total >= 500,
        ),
        (
            "bit flips read as other content",
            "0",
            counts["other content"],
            not counts["other content"],
        ),
        (MINUTES[2], "", round(minutes, 1), None),
    ]


def _commits(runs: list[dict[str, Any]]) -> str:
    return ", ".join(sorted({run["commit"] for run in runs}))


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults against a small study.")
    parser.add_argument("--part", default="", choices=["", *PARTS, "flips"], help="One part alone.")
    parser.add_argument("--only", default="", help="Kinds whose names hold this.")
    parser.add_argument("--seeds", type=int, default=0, help="Seeds of a part; 0: its own number.")
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--flips", type=int, default=FLIPS, help="Bits to turn.")
    parser.add_argument("--merge", action="store_true", help="Run nothing, write the table.")
    parser.add_argument("--afresh", action="store_true", help="Forget what has run.")
    given = parser.parse_args()
    if given.afresh:
        shutil.rmtree(RUNS, ignore_errors=True)
    if not given.merge:
        for name, part in PARTS.items():
            if given.part in ("", name):
                run_part(name, part, given.seeds, given.first, given.only)
        if given.part in ("", "flips"):
            run_flip_part(given.flips, given.first)
    if given.merge or not given.part:
        write_results("faults", figures(), keep=True)


if __name__ == "__main__":
    # Mounts are this process's own, and gone with it whatever happens.
    if os.environ.get("FAULTS_ALONE") != "1":
        os.environ["FAULTS_ALONE"] = "1"
        mapped = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        command = [sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", *mapped, *command])
    main()
