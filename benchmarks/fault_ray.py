"""Faults of a run on Ray: its driver, its processes, and the store that all of them share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil

from benchmarks.fault_case import Case, Kind, Missed, disk, fill, remount
from benchmarks.nodes import ROOT, title
from scaling.store.leases import EXPIRY_SECONDS

# Of Ray's own processes after their driver is gone.
PATIENCE_SECONDS = 60.0
HANG_SECONDS = 900.0


@dataclass
class RayProcess:
    """A driver as a process of its own, and everything that it ever had below it."""

    popen: subprocess.Popen[bytes]
    family: dict[int, float] = field(default_factory=dict)
    """Process id → when it began."""

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def exitcode(self) -> int | None:
        self.look()
        return self.popen.poll()

    def look(self) -> list[psutil.Process]:
        """Processes below the driver now."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for process in found:
            self.family.setdefault(process.pid, process.create_time())
        return found

    def join(self, limit: float | None = None) -> None:
        deadline = time.monotonic() + (limit or HANG_SECONDS)
        while self.exitcode is None and time.monotonic() < deadline:
            time.sleep(0.2)

    def kill(self) -> None:
        self.look()
        self.popen.kill()
        self.popen.wait()

    def titled(self, start: str) -> list[psutil.Process]:
        return [process for process in self.look() if title(process).startswith(start)]

    def alive(self) -> list[psutil.Process]:
        """Those of the family that still run."""
        found = []
        for pid, created in self.family.items():
            try:
                process = psutil.Process(pid)
                if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found


@dataclass(kw_only=True)
class RayCase(Case):
    """A case whose drivers start a Ray of their own."""

    late: list[str] = field(default_factory=list)
    """Ray's own processes that outlived their driver for a moment."""

    def start(  # type: ignore[override]
        self, *words: str, environment: dict[str, str] | None = None
    ) -> Any:
        """`scaling run` on the store with Ray, or another command."""
        if words:
            return super().start(*words, environment=environment)
        self.starts += 1
        with self.log.open("ab") as log:
            popen = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "scaling.cli",
                    "run",
                    str(self.calm.file),
                    "--store",
                    self.uri,
                ],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "TMPDIR": str(self.temporary),
                    "OMP_NUM_THREADS": "1",
                    "COLUMNS": "160",
                    **(environment or {}),
                },
            )
        process = RayProcess(popen)
        self.processes.append(process)  # type: ignore[arg-type]
        return process

    def tidy(self) -> list[str]:
        """As of a run without Ray; and processes that outlive their driver by a minute."""
        drivers = [one for one in self.processes if isinstance(one, RayProcess)]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := [p for one in drivers for p in one.alive()]) and (
            time.monotonic() < deadline
        ):
            for process in found:
                name = (title(process).split() or ["gone"])[0].rpartition("/")[2]
                if name not in self.late:
                    self.late.append(name)
            time.sleep(0.5)
        left = [f"process {title(process)[:60]}" for process in found]
        for process in found:
            process.kill()
        return left + super().tidy()


def _struck(
    case: Case, strike: Callable[[Any], None], *, survives: bool = False, number: int = 0
) -> None:
    """Strike while a step is at work.

    Args:
        case: The study.
        strike: Does it to the driver's process.
        survives: Whether the run must end well by itself.
        number: Of a signal after which it must say that it was interrupted; 0 for another fault.
    """
    process = case.begin().start()
    case.until(case.random.choice((0, 1)), process)
    strike(process)
    code = case.join(process, HANG_SECONDS)
    if survives and code != 0:
        case.complaints.append(f"the run ended: {code}, {case.said()[-600:]!r}")
    if number:
        said = case.said()
        if code == 0:
            raise Missed("over")
        if code != 128 + number or "interrupted; " not in said or "Traceback" in said:
            case.complaints.append(f"signal {number}: {code}, {said[-600:]!r}")
    case.finish()


def _store_struck(case: Case, what: str, seconds: float) -> None:
    with disk(case.folder / "disk", 64) as path:
        case.store_path = path / "store"

        def strike(process: Any) -> None:
            if what == "full":
                filler = fill(path)
                time.sleep(seconds)
                filler.unlink()
            elif what == "read-only":
                remount(path, "ro")
                time.sleep(seconds)
                remount(path, "rw")
            else:
                os.rename(case.store_path, path / "away")
                case.store_path.mkdir()
                time.sleep(seconds)
                if grown := sorted(found.name for found in case.store_path.iterdir()):
                    case.complaints.append(f"a second store grew: {grown}")
                    subprocess.run(["rm", "-r", str(case.store_path)], check=True)
                else:
                    case.store_path.rmdir()
                os.rename(path / "away", case.store_path)

        _struck(case, strike, survives=True)
        case.verdict = case.judge()


def _signal_to(case: Case, number: int, start: str = "", survives: bool = False) -> None:
    def strike(process: Any) -> None:
        found = process.titled(start) if start else [psutil.Process(process.pid)]
        if not found:
            raise Missed(f"no {start}")
        case.random.choice(found).send_signal(number)

    asks = number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    _struck(case, strike, survives=survives, number=number if asks else 0)


def _worker_sleeps(case: Case) -> None:
    """A worker of one driver is stopped beyond its lease; another driver works meanwhile."""
    first = case.begin().start()
    case.until(0, first)
    workers = first.titled("ray::RayTrainWorker")
    if not workers:
        raise Missed("no worker")
    workers[0].suspend()
    second = case.start()
    time.sleep(EXPIRY_SECONDS + 15.0)
    workers[0].resume()
    for process in (first, second):
        case.join(process, HANG_SECONDS)
    case.finish()


def _no_memory(case: Case) -> None:
    """Ray finds the machine's memory full, and kills whatever works until nothing is left to try.

    As if others had taken the memory: its limit lies below what is taken in any case.
    """
    limits = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "250"}
    code = case.join(case.begin().start(environment=limits), HANG_SECONDS)
    said = case.said()
    # Tune's own log has a traceback for each.
    if code != 1 or "failed  " not in said or "scaling/cli/__init__.py" in said:
        case.complaints.append(f"no memory: {code}, {said[-600:]!r}")
    case.finish()


def _both(case: Case) -> None:
    case.begin()
    for process in [case.start(), case.start()]:
        case.join(process, HANG_SECONDS)
    case.finish()


def _suspended(case: Case) -> None:
    """A laptop's suspend: everything is stopped for longer than a lease lasts."""

    def strike(process: Any) -> None:
        family = [psutil.Process(process.pid), *process.look()]
        for one in family:
            one.suspend()
        time.sleep(EXPIRY_SECONDS + 10.0)
        for one in family:
            one.resume()

    _struck(case, strike, survives=True)


RAY: dict[str, Kind] = {
    "Ray: disk full for a moment": partial(_store_struck, what="full", seconds=10.0),
    "Ray: disk read-only for a moment": partial(_store_struck, what="read-only", seconds=10.0),
    "Ray: disk gone for a moment": partial(_store_struck, what="gone", seconds=20.0),
    "Ray: worker killed": partial(
        _signal_to, number=signal.SIGKILL, start="ray::RayTrainWorker", survives=True
    ),
    "Ray: controller killed": partial(
        _signal_to, number=signal.SIGKILL, start="ray::TrainController", survives=True
    ),
    "Ray: driver killed": partial(_signal_to, number=signal.SIGKILL),
    "Ray: Ctrl-C": partial(_signal_to, number=signal.SIGINT),
    "Ray: SIGTERM": partial(_signal_to, number=signal.SIGTERM),
    "Ray: SIGHUP": partial(_signal_to, number=signal.SIGHUP),
    "Ray: suspended": _suspended,
    "Ray: no memory": _no_memory,
}
RAY_PAIRS: dict[str, Kind] = {
    "Ray: two drivers": _both,
    "Ray: two drivers, a worker sleeps beyond its lease": _worker_sleeps,
}
