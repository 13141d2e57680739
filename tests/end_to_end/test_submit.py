"""A study as a job of a real Ray cluster with token authentication: refused, killed, submitted
again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from scaling.planning.placement import placements
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import Study
from tests.helpers.ray_head import RAY, RayHead, http_status
from tests.helpers.tiny import write_study

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 240
SECRET = "s3cr3t-0f-the-submitter"


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    pytest.importorskip("ray")
    with RayHead(num_cpus=2) as started:
        yield started


@pytest.fixture
def checkout(tmp_path: Path, tiny_study: dict[str, Any]) -> Path:
    """What a user would upload: the project and a study file in it."""
    folder = tmp_path / "checkout"
    for name in ("scaling", "analysis", "jobs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    write_study(folder, {**tiny_study, "languages": ["de", "sw"]})
    return folder


def submit(
    head: RayHead, folder: Path, store: Path, *more: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
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
            *more,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
        env={**head.env, "PYTHONPATH": str(folder), "COLUMNS": "200", **env},
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.ray
def test_strangers_are_refused(head: RayHead) -> None:
    for path in ("/api/jobs/", "/api/version", "/nodes", "/logs", "/api/v0/tasks"):
        assert http_status(head.dashboard + path) == 401
        assert http_status(head.dashboard + path, "wrong") == 403
    assert http_status(f"{head.dashboard}/api/jobs/", head.token) == 200


@pytest.mark.ray
@pytest.mark.torch
def test_doctor_says_whether_a_cluster_takes_the_token_that_is_here(
    head: RayHead, tmp_path: Path
) -> None:
    def doctor(**env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scaling.cli", "doctor", "--address", head.dashboard],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
            env={**head.env, "PYTHONPATH": str(ROOT), "COLUMNS": "400", **env},
        )

    mine = doctor()
    assert mine.returncode == 0 and "answers and takes this token" in mine.stdout, mine.stdout
    (tmp_path / "wrong").write_text("0" * 64)
    other = doctor(RAY_AUTH_TOKEN_PATH=str(tmp_path / "wrong"))
    assert other.returncode == 1 and "refused us" in other.stdout, other.stdout


@pytest.mark.ray
def test_submit_refuses_before_anything_starts(
    head: RayHead, checkout: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    (tmp_path / "file").write_text("")
    assert "cannot be read and written" in refused(
        submit(head, checkout, tmp_path / "file" / "store")
    )
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    assert "refused us" in refused(submit(head, checkout, store, RAY_AUTH_TOKEN_PATH=str(wrong)))
    Store.open(tmp_path / "taken").check_study("other")
    assert "is the store of the study 'other'" in refused(
        submit(head, checkout, tmp_path / "taken")
    )
    with (checkout / "scaling" / "weights.bin").open("wb") as large:
        large.truncate(120 * 2**20)
    assert "largest: scaling 12" in refused(submit(head, checkout, store))
    (checkout / "scaling" / "weights.bin").unlink()
    (checkout / "runs").mkdir()
    shutil.move(checkout / "study.yaml", checkout / "runs" / "study.yaml")
    (checkout / "study.yaml").symlink_to("runs/study.yaml")
    assert "would not be uploaded" in refused(submit(head, checkout, store))
    assert not store.exists()


@pytest.mark.ray
def test_submit_refuses_what_the_probe_finds(
    head: RayHead, checkout: Path, tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    write_study(checkout, {**tiny_study, "placement": {"default": {"workers": 4, "zero_stage": 1}}})
    text = (checkout / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(text.replace("deepspeed==0.19.8", "deepspeed==0.18.0"))
    said = refused(submit(head, checkout, tmp_path / "store"))
    assert "tiny-1 needs 4 CPUs at once and the cluster can hold 2" in said
    assert "deepspeed is 0.19.8" in said
    assert "this study runs with 0.18.0" in said
    assert not list((tmp_path / "store").rglob("probe/*"))


class _Open(BaseHTTPRequestHandler):
    """Answers anybody, like a dashboard without authentication."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Not into the test's output."""


@pytest.mark.ray
def test_an_open_dashboard_is_refused(checkout: Path, tmp_path: Path, head: RayHead) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Open)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    done = submit(
        head, checkout, tmp_path / "store", "--address", f"http://127.0.0.1:{server.server_port}"
    )
    assert "runs jobs of anybody who reaches it" in refused(done)
    server.shutdown()
    server.server_close()
    gone = submit(
        head, checkout, tmp_path / "store", "--address", f"http://127.0.0.1:{server.server_port}"
    )
    assert "no Ray dashboard answers" in refused(gone)


def driver_of_the_job(head: RayHead) -> psutil.Process:
    for process in psutil.Process(head.process.pid).children(recursive=True):
        if process.status() != psutil.STATUS_ZOMBIE and "jobs/run_study.py" in process.cmdline():
            return process
    raise AssertionError("no driver of a job is alive")


def wait_until(what: str, happened: Any) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen in {LIMIT_SECONDS} s"
        time.sleep(0.2)


@pytest.mark.ray
@pytest.mark.torch
@pytest.mark.slow
def test_killed_and_submitted_again_gives_the_numbers_of_an_undisturbed_run(
    head: RayHead, checkout: Path, tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    stormy = Store.open(tmp_path / "stormy")
    done = submit(head, checkout, tmp_path / "stormy", KEY_OF_MINE=SECRET)
    assert done.returncode == 0, done.stderr
    assert "submitted tiny-1" in done.stdout
    job = json.dumps(head.get("/api/jobs/tiny-1"))
    assert SECRET not in job and head.token not in job
    # One job of a study at a time.
    assert "the job tiny-1 of this study is" in refused(submit(head, checkout, tmp_path / "stormy"))
    wait_until("some of the work", lambda: 3 <= len(stormy.scan().done) < 9)
    os.kill(driver_of_the_job(head).pid, signal.SIGKILL)
    wait_until("the end of the killed job", lambda: head.job_status("tiny-1") == "FAILED")
    first = stormy.scan().done
    words = ["python", "jobs/run_study.py", "study.yaml", "--store", str(tmp_path / "stormy")]
    by_hand = [
        RAY,
        "job",
        "submit",
        "--address",
        head.dashboard,
        "--working-dir",
        str(checkout),
        "--",
        *words,
    ]
    again = subprocess.run(
        by_hand, env=head.env, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert again.returncode == 0, (again.stdout + again.stderr)[-3000:]

    # Nothing of who submitted is in the store, nor the token in anything that the cluster wrote.
    for path in (tmp_path / "stormy").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content and head.token.encode() not in content, path
    for path in (head.folder / "r").rglob("*.log"):
        text = path.read_text(errors="replace")
        assert SECRET not in text and head.token not in text, path

    plan, records = undisturbed(tiny_study, tmp_path / "calm")
    assert 0 < len(first) < len(plan.steps)
    assert {step: stormy.record(step).science() for step in plan.steps} == records
    # What was done before the kill was not done again.
    kept = {stormy.record(step).provenance.attempt for step in first}
    assert not kept & {
        stormy.record(step).provenance.attempt for step in plan.steps if step not in first
    }


def undisturbed(tiny_study: dict[str, Any], folder: Path) -> tuple[Any, dict[str, Any]]:
    """The same study in this process, one thread as in a worker."""
    import torch

    from scaling.encoders.engine import join_world
    from scaling.training.runner import run_steps
    from scaling.training.stage import stage

    torch.set_num_threads(1)
    study, store = Study(**{**tiny_study, "languages": ["de", "sw"]}), Store.open(folder)
    plan = make_plan(study, stage(study, store, None, lambda what: None))
    run_steps(plan, store, list(plan.steps), join_world(), placements(plan, None))
    return plan, {step: store.record(step).science() for step in plan.steps}
