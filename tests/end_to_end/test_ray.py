"""A whole study through Ray Tune, Ray Train with two workers and DeepSpeed, killed twice and
submitted again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("ray")

from scaling.store.leases import working
from scaling.store.logs import log_lines
from scaling.store.stop import ask_to_stop
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import load_study
from tests.helpers.tiny import write_study

pytestmark = [pytest.mark.ray, pytest.mark.torch]
ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 600


@pytest.fixture
def study_file(tiny_study: dict[str, Any], tmp_path: Path) -> Path:
    content = {
        **tiny_study,
        "languages": ["de", "sw"],
        "placement": {
            "tiny-1": {"workers": 2, "zero_stage": 2, "micro_batch": 2},
            "tiny-2": {"workers": 2, "zero_stage": 3, "micro_batch": 4, "resume_every": 10},
        },
    }
    return write_study(tmp_path, content)


class Driver:
    """`scaling run` as a process of its own; everything that it started is ended by id."""

    def __init__(self, study: Path, store: Path, *options: str) -> None:
        self.log = store.parent / f"{store.name}-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "scaling.cli", "run", str(study)),
                    *("--store", str(store), *options),
                ],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
            )
        self.family: dict[int, float] = {}

    def look(self) -> None:
        """Remember the processes below the driver; Ray's own outlive it for a moment."""
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.family.setdefault(child.pid, child.create_time())

    def kill(self) -> None:
        self.look()
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.end_family()

    def end_family(self) -> None:
        for pid, created in self.family.items():
            if psutil.pid_exists(pid) and psutil.Process(pid).create_time() == created:
                os.kill(pid, signal.SIGKILL)

    def wait(self) -> int:
        deadline = time.monotonic() + LIMIT_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self.look()
            time.sleep(0.2)
        if self.process.poll() is None:
            self.kill()
            raise AssertionError(
                f"still running after {LIMIT_SECONDS} s:\n{self.log.read_text()[-3000:]}"
            )
        return self.process.returncode

    def leftovers(self) -> list[str]:
        """Processes of the family that are still there ten seconds after the driver."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            alive = [
                psutil.Process(pid).name()
                for pid, created in self.family.items()
                if psutil.pid_exists(pid)
                and psutil.Process(pid).create_time() == created
                and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
            ]
            if not alive:
                return []
            time.sleep(0.5)
        return alive


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    started: list[Driver] = []
    yield started
    for driver in started:
        if driver.process.poll() is None:
            driver.kill()
        driver.end_family()


def until_works_on(driver: Driver, store: Store, phase: str) -> None:
    """Wait until a step of this phase has a lease and has made some progress."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        driver.look()
        assert driver.process.poll() is None, driver.log.read_text()[-3000:]
        scan = store.scan()
        if any(step.startswith(f"{phase}.") and step not in scan.done for step in scan.leases):
            return
        time.sleep(0.02)
    raise AssertionError(
        f"no step of phase {phase} ever started:\n{driver.log.read_text()[-3000:]}"
    )


def science(plan: Plan, store: Store) -> dict[str, Any]:
    return {step: store.record(step).science() for step in plan.steps}


def test_killed_in_both_phases_and_submitted_again(
    study_file: Path, tmp_path: Path, drivers: list[Driver]
) -> None:
    calm = Driver(study_file, tmp_path / "calm")
    drivers.append(calm)
    assert calm.wait() == 0, calm.log.read_text()[-4000:]
    assert calm.leftovers() == []

    stormy = Store.open(tmp_path / "stormy")
    for phase in ("ii", "iii"):
        driver = Driver(study_file, tmp_path / "stormy")
        drivers.append(driver)
        until_works_on(driver, stormy, phase)
        driver.kill()
    last = Driver(study_file, tmp_path / "stormy")
    drivers.append(last)
    assert last.wait() == 0, last.log.read_text()[-4000:]

    plan = make_plan(load_study(study_file), stormy.read_lock())
    assert science(plan, stormy) == science(plan, Store.open(tmp_path / "calm"))
    for step in plan.steps:
        record = stormy.record(step)
        assert record.provenance.execution["workers"] == 2
    stages = {
        plan.steps[step].model: stormy.record(step).provenance.execution["zero_stage"]
        for step in plan.steps
    }
    assert stages == {"tiny-1": 2, "tiny-2": 3}

    again = Driver(study_file, tmp_path / "stormy")
    drivers.append(again)
    assert again.wait() == 0
    assert "nothing to run" in again.log.read_text()


@pytest.mark.slow
def test_stopped_by_a_request_in_the_store_and_finished_later(
    study_file: Path, tmp_path: Path, drivers: list[Driver]
) -> None:
    store = Store.open(tmp_path / "store")
    driver = Driver(study_file, tmp_path / "store")
    drivers.append(driver)
    until_works_on(driver, store, "ii")
    ask_to_stop(store, now=True)
    assert driver.wait() == 3, driver.log.read_text()[-4000:]
    assert "Stopped as asked" in driver.log.read_text()
    assert driver.leftovers() == []
    # The request is older than the next driver, which does not obey it.
    again = Driver(study_file, tmp_path / "store")
    drivers.append(again)
    assert again.wait() == 0, again.log.read_text()[-4000:]
    assert log_lines(store)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "working"),
        (signal.SIGTERM, "working"),
        (signal.SIGHUP, "working"),
        (signal.SIGINT, "joining"),
        (signal.SIGTERM, "joining"),
        (signal.SIGINT, "staging"),
        (signal.SIGINT, "here"),
        (signal.SIGTERM, "here"),
    ],
)
def test_an_interrupted_run_says_so(
    study_file: Path, tmp_path: Path, number: signal.Signals, moment: str, drivers: list[Driver]
) -> None:
    """At work, before there are workers, before there is a plan, and without Ray."""
    store = Store.open(tmp_path / "store")
    driver = Driver(study_file, tmp_path / "store", *(["--here"] if moment == "here" else []))
    drivers.append(driver)

    def has_come() -> bool:
        if moment == "staging":
            return store.exists("study.json")
        if moment == "joining":
            return "→" in driver.log.read_text()
        return bool(store.scan().done)

    deadline = time.monotonic() + LIMIT_SECONDS
    while not has_come():
        assert time.monotonic() < deadline and driver.process.poll() is None
        driver.look()
        time.sleep(0.02)
    driver.process.send_signal(number)
    assert driver.process.wait(60) == 128 + number, driver.log.read_text()
    said = driver.log.read_text()
    assert re.search(r"interrupted; \d+ steps are left(\. Run again to go on)?", said), said
    assert "Traceback" not in said
    assert not working(store, store.leases().values())
    assert driver.leftovers() == []
