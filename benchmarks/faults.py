"""`make bench-faults`: a small study under every fault that was ever seen to lose, alter or repeat
work, or to end a run without a clear word. In parts, each of which runs alone and resumes.

    python -m benchmarks.faults                    # all parts; what has run is not run again
    python -m benchmarks.faults --part one --seeds 2 --only "disk full"
    python -m benchmarks.faults --merge            # only write the table
    python -m benchmarks.faults --afresh           # forget what has run

Processes, disks and networks fail by signals, full mounts and proxies on loopback; only clocks are
injected. What ran lies in runs/bench-faults/PART.jsonl, a line a run. Needs the right to mount.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fault_case import Calm, Case, Kind, Missed, calm_in, serve
from benchmarks.fault_kinds import KINDS
from benchmarks.nodes import ROOT
from benchmarks.results_table import commit, write_results

RUNS = ROOT / "runs" / "bench-faults"
# Tries to have a fault strike before a study is over.
TRIES = 4


def run_kind(calm: Calm, folder: Path, name: str, kind: Kind, seed: int) -> dict[str, Any] | None:
    """What became of a study under one fault; None if the fault came too late, every time."""
    for attempt in range(TRIES):
        # The same for a kind and a seed, whatever else runs.
        chance = random.Random(f"{name} {seed} {attempt}")
        own = folder / f"{name.replace(' ', '-').replace(',', '')}-{seed}-{attempt}"
        own.mkdir()
        case = Case(calm=calm, folder=own, random=chance, store_path=own / "store")
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


def part_of(part: str, kinds: dict[str, Kind], seeds: int, only: str, first: int) -> None:
    """Run the kinds of a part, each with so many seeds, as far as they have not run well."""
    done = {(run["kind"], run["seed"]) for run in read(part) if is_good(run)}
    todo = [
        (name, seed)
        for seed in range(first, first + seeds)
        for name in kinds
        if only in name and (name, seed) not in done
    ]
    if not todo:
        return
    serve()
    # Ray's sockets and ours lie below it: short.
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        started = time.monotonic()
        calm = calm_in(RUNS / "calm")
        print(f"{part}: calm after {time.monotonic() - started:.0f} s", flush=True)
        for name, seed in todo:
            run = run_kind(calm, folder, name, kinds[name], seed)
            if run is not None:
                keep(part, run)


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults against a small study.")
    parser.add_argument("--part", default="", help="One part alone.")
    parser.add_argument("--only", default="", help="Kinds whose names hold this.")
    parser.add_argument("--seeds", type=int, default=2, help="Seeds of the injector.")
    parser.add_argument("--first", type=int, default=0, help="The first seed.")
    parser.add_argument("--merge", action="store_true", help="Run nothing, write the table.")
    parser.add_argument("--afresh", action="store_true", help="Forget what has run.")
    given = parser.parse_args()
    if given.afresh:
        for path in RUNS.glob("*.jsonl"):
            path.unlink()
    parts: dict[str, Callable[[], None]] = {
        "one": lambda: part_of("one", KINDS, given.seeds, given.only, given.first),
    }
    for name, run in parts.items():
        if not given.merge and given.part in ("", name):
            run()


if __name__ == "__main__":
    # Mounts are this process's own, and gone with it whatever happens.
    if os.environ.get("FAULTS_ALONE") != "1":
        os.environ["FAULTS_ALONE"] = "1"
        mapped = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        command = [sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", *mapped, *command])
    main()
