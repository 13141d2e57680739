"""`make bench-jobs`: a small study as a job of a Ray head with token authentication, its driver
killed and resubmitted.

Some five minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results_table import write_results
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import load_study
from tests.helpers.ray_head import RayHead, http_status
from tests.helpers.tiny import make_model, tiny_content, write_study

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 900
PATHS = (
    "/api/jobs/",
    "/api/version",
    "/nodes",
    "/logs",
    "/metrics",
    "/api/v0/tasks",
    "/api/v0/nodes",
)


def make_checkout(folder: Path) -> Path:
    """What a user would upload: the project and a study of two sizes."""
    for name in ("scaling", "analysis", "jobs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    models = [
        {
            "name": f"tiny-{layers}",
            **make_model(folder.parent / f"tiny-{layers}", "xlm-roberta", layers),
        }
        for layers in (1, 2)
    ]
    write_study(folder, tiny_content(models) | {"languages": ["de", "sw"]})
    return folder


def submit(head: RayHead, checkout: Path, store: Path) -> str:
    """`scaling submit`; the job's id."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "scaling.cli",
            "submit",
            "study.yaml",
            "--address",
            head.dashboard,
            "--store",
            str(store),
        ],
        cwd=checkout,
        env={**head.env, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return next(
        line.split()[1] for line in done.stdout.splitlines() if line.startswith("submitted ")
    )


def until_over(head: RayHead, job: str) -> str:
    deadline = time.monotonic() + LIMIT_SECONDS
    while (state := head.job_status(job)) in ("PENDING", "RUNNING"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{job} is {state} after {LIMIT_SECONDS} s")
        time.sleep(0.2)
    return state


def kill_driver(head: RayHead, job: str, store: Store, at: int) -> None:
    """SIGKILL to the job's driver once so many steps are done."""
    while len(store.scan().done) < at and head.job_status(job) in ("PENDING", "RUNNING"):
        time.sleep(0.1)
    for process in psutil.Process(head.process.pid).children(recursive=True):
        if process.status() != psutil.STATUS_ZOMBIE and "jobs/run_study.py" in process.cmdline():
            os.kill(process.pid, signal.SIGKILL)


def attempts(store: Store) -> dict[str, str]:
    return {
        step: record.provenance.attempt for step, record in store.records(store.scan().done).items()
    }


def orphans(head: RayHead) -> list[str]:
    """Actors and placement groups that are alive though no job is, after half a minute."""
    deadline = time.monotonic() + 30
    while True:
        left = [
            f"{item.get('class_name', kind)} {item.get('name', '')}"
            for kind, alive in (("actors", "ALIVE"), ("placement_groups", "CREATED"))
            for item in head.get(f"/api/v0/{kind}?limit=1000")["data"]["result"]["result"]
            if item["state"] == alive
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(1)


def measure(folder: Path, kills: int, seed: int) -> list[dict[str, Any]]:
    checkout = make_checkout(folder / "checkout")
    with RayHead(num_cpus=2) as head:
        answers = [
            http_status(head.dashboard + path, token) for path in PATHS for token in (None, "wrong")
        ]
        refused = sum(status in (401, 403) for status in answers)
        if until_over(head, submit(head, checkout, folder / "calm")) != "SUCCEEDED":
            raise RuntimeError("the undisturbed job failed")
        calm = Store.open(folder / "calm")
        plan = make_plan(load_study(str(checkout / "study.yaml")), calm.read_lock())
        stormy, chosen = Store.open(folder / "stormy"), random.Random(seed)
        redone, moments = 0, sorted(chosen.sample(range(1, len(plan.steps)), kills))
        before: dict[str, str] = {}
        for moment in [*moments, None]:
            job = submit(head, checkout, folder / "stormy")
            if moment is not None:
                kill_driver(head, job, stormy, moment)
            state = until_over(head, job)
            now = attempts(stormy)
            redone += sum(now.get(step) != attempt for step, attempt in before.items())
            before = now
            print(f"{job}: {state}, {len(before)} of {len(plan.steps)} steps", flush=True)
        started = time.monotonic()
        again = until_over(head, submit(head, checkout, folder / "stormy"))
        seconds = time.monotonic() - started
        left = orphans(head)
    return rows_of(
        plan, calm, stormy, redone, len(moments), left, refused, len(answers), again, seconds
    )


def rows_of(
    plan: Plan,
    calm: Store,
    stormy: Store,
    redone: int,
    kills: int,
    left: list[str],
    refused: int,
    asked: int,
    again: str,
    seconds: float,
) -> list[dict[str, Any]]:
    equal = sum(calm.record(step).science() == stormy.record(step).science() for step in plan.steps)
    load = os.getloadavg()[0]
    return [
        {
            "figure": f"records equal to the undisturbed job's, after {kills} killed drivers",
            "target": "all",
            "value": f"{equal} of {len(plan.steps)}",
            "met": equal == len(plan.steps),
        },
        {
            "figure": "steps whose record was written again",
            "target": 0,
            "value": redone,
            "met": redone == 0,
        },
        {
            "figure": "actors and placement groups left",
            "target": 0,
            "value": ", ".join(left) or 0,
            "met": not left,
        },
        {
            "figure": "requests without the token refused (dashboard and job server)",
            "target": "all",
            "value": f"{refused} of {asked}",
            "met": refused == asked,
        },
        {
            "figure": (
                f"seconds to submit the finished study again, checks included (load {load:.0f})"
            ),
            "target": "≤ 15",
            "value": round(seconds, 1),
            "met": again == "SUCCEEDED" and seconds <= 15,
        },
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry", action="store_true", help="Print, write no results.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jobs-") as temporary:
        rows = measure(Path(temporary), given.kills, given.seed)
    if given.dry:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        write_results("jobs", rows)


if __name__ == "__main__":
    main()
