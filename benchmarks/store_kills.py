"""Drivers killed on the S3 server: small studies, three kills each, held against a calm run."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fault_case import Case, calm_in, serve
from benchmarks.fault_network import RemoteCase
from benchmarks.faults import run_kind
from tests.helpers.s3_server import object_store

KILLS = (0, 1, 3)


def _kill(case: Case) -> None:
    """Killed in each of its first starts, at a moment that the seed chooses."""
    case.begin()
    for done in KILLS:
        process = case.start()
        case.until(done, process)
        case.end(process, signal.SIGKILL)
        case.join(process)
    case.finish()


def killed(where: Path, studies: int) -> list[dict[str, Any]]:
    """Rows of the table."""
    serve()
    runs = []
    with object_store() as objects:
        calm = calm_in(where / "calm")
        make = partial(RemoteCase, objects=objects)
        for seed in range(studies):
            run = run_kind(make, calm, where, "S3: killed", _kill, seed)
            if run is not None:
                runs.append(run)
                print(f"  {run}", flush=True)
    whole = [run for run in runs if "broken" not in run]
    steps = sum(run["steps"] for run in whole)
    equal = sum(run["equal"] for run in whole)
    twice = sum(len(run["twice"]) + len(run["lost"]) for run in whole)
    left = sum(len(run["left"]) for run in whole)
    title = "drivers killed on the S3 server, three times a study"
    ran = f"{len(KILLS) * len(runs)} kills, {len(runs)} studies"
    return [
        {
            "figure": f"{title}: records equal to the calm run's",
            "target": "all",
            "value": f"{equal} of {steps} ({ran})",
            "met": bool(steps) and equal == steps and len(whole) == len(runs),
        },
        {
            "figure": f"{title}: steps committed twice or lost",
            "target": "0",
            "value": f"{twice} ({ran})",
            "met": bool(whole) and twice == 0,
        },
        {
            "figure": f"{title}: orphans (processes, leases, parts, folders)",
            "target": "0",
            "value": f"{left} ({ran})",
            "met": bool(whole) and left == 0,
        },
    ]
