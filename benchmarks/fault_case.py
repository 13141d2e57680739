"""One study under one fault: real processes of `scaling run --here`, and what became of the store.

The processes are forks of one that has imported everything (multiprocessing's fork server), which
spares each of them ten seconds. What they run is the command itself.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from benchmarks.nodes import Commits
from scaling.planning.progress import current_plan
from scaling.store.paths import STAGING, StepFolder
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.study.steps import Plan
from scaling.study.study import load_study
from tests.helpers.tiny import make_model, tiny_content, write_study

# No run of these takes longer on a machine that is not busy with something else.
HANG_SECONDS = 400.0
STAGING_LEASE = StepFolder(STAGING).lease
# Starts of `scaling run` that a study may need after a fault, the healing of damage included.
MOST_STARTS = 6
_SERVER = multiprocessing.get_context("forkserver")


class Missed(Exception):
    """The study was over before the fault could meet it: the run says nothing."""


@dataclass(frozen=True, kw_only=True)
class Calm:
    """A study that nothing disturbed: what every other run of it is held against."""

    file: Path
    staged: Path
    plan: Plan
    expected: dict[str, dict[str, Any]]
    """Step → `StepRecord.science()`."""


def run_command(
    words: Sequence[str], log: str, environment: dict[str, str], shift_seconds: float
) -> None:
    """Become `scaling WORDS`, with a clock that is wrong by so many seconds."""
    os.setpgid(0, 0)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.environ.update(environment)
    if shift_seconds:
        true = time.time
        time.time = lambda: true() + shift_seconds
    sys.argv = ["scaling", *words]
    from scaling.cli import main
    from scaling.cli.app import console

    # Bound to the fork server's standard output when it was imported.
    console.file = sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    main()


def serve() -> None:
    """Let the fork server import what the runs need."""
    os.environ.update(OMP_NUM_THREADS="1", COLUMNS="160", DS_LOG_LEVEL="error")
    _SERVER.set_forkserver_preload(
        ["scaling.cli", "scaling.cluster.here", "scaling.training.stage", "benchmarks.fault_ray"]
    )


@dataclass
class Case:
    """A store of its own, and the processes that work on it."""

    calm: Calm
    folder: Path
    random: random.Random
    store_path: Path
    environment: dict[str, str] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    """Steps whose record or weights the fault itself damaged: those are made again on purpose."""
    starts: int = 0
    codes: list[int | None] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    hung: int = 0
    processes: list[ForkServerProcess] = field(default_factory=list)
    verdict: dict[str, Any] | None = None
    """Of a run whose disk is gone before it could be judged from outside."""

    @property
    def uri(self) -> str:
        """What `--store` gets."""
        return str(self.store_path)

    @property
    def store(self) -> Store:
        return Store.open(self.uri)

    @property
    def temporary(self) -> Path:
        """TMPDIR of its processes."""
        return self.folder / "tmp"

    def begin(self, *, staged: bool = True) -> Case:
        """Put the staged store in place and count commits from now on."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        self.store_path.mkdir(parents=True, exist_ok=True)
        if staged:
            subprocess.run(["cp", "-r", f"{self.calm.staged}/.", self.store_path], check=True)
        self.commits = Commits(self.store_path, self.calm.plan.steps)
        return self

    def start(
        self, *words: str, shift_seconds: float = 0.0, environment: dict[str, str] | None = None
    ) -> ForkServerProcess:
        """`scaling run --here` on the store, or another command."""
        self.starts += not words
        words = words or ("run", str(self.calm.file), "--store", self.uri, "--here")
        own = {
            "TMPDIR": str(self.temporary),
            "SCALING_CACHE": str(self.folder / "cache"),
            **self.environment,
            **(environment or {}),
        }
        process = _SERVER.Process(
            target=run_command, args=(words, str(self.log), own, shift_seconds), daemon=True
        )
        process.start()
        self.processes.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def until(self, done: int, process: ForkServerProcess) -> None:
        """Wait until so many records are there and the next step has begun."""
        deadline = time.monotonic() + HANG_SECONDS
        while len(self.commits.read()) < done or not self.is_busy():
            if process.exitcode:
                raise RuntimeError(f"ended before the fault: {process.exitcode}, {self.said()}")
            if process.exitcode is not None or time.monotonic() > deadline:
                raise Missed(f"{process.exitcode} after {len(self.commits.read())} of {done}")
            time.sleep(0.01)
        time.sleep(self.random.uniform(0.0, 0.5))
        if process.exitcode is not None:
            raise Missed("over")

    def is_busy(self) -> bool:
        """Whether somebody holds a step."""
        found = (self.store_path / "leases").glob("*.json")
        return any(path.stem != STAGING for path in found)

    def moment(self) -> int:
        """Records after which a fault strikes: in any of the first steps, trainings among them."""
        return self.random.choice((0, 0, 3, 3, 4, 4))

    def join(self, process: ForkServerProcess, limit: float = HANG_SECONDS) -> int | None:
        """Exit code; of a process that hangs None, and its end."""
        process.join(limit)
        if process.exitcode is None:
            self.hung += 1
            process.kill()
            process.join()
            return None
        self.codes.append(process.exitcode)
        return process.exitcode

    def end(self, process: ForkServerProcess, number: int) -> None:
        if process.exitcode is not None or process.pid is None:
            raise Missed("over")
        os.kill(process.pid, number)

    def command(self, *words: str, expect: Collection[int] = (0,)) -> str:
        """What another command says about the store; complains about an unexpected exit code."""
        before = len(self.said())
        code = self.join(self.start(*words, str(self.calm.file), "--store", self.uri))
        said = self.said()[before:]
        if code not in expect or "Traceback" in said:
            self.complaints.append(f"{words[0]}: exit code {code}, {said[-300:]!r}")
        return said

    def refused(self, *named: str) -> None:
        """`run` must end with code 2 and one line that names this, and touch nothing."""
        before = len(self.said())
        records = dict(self.commits.read())
        code = self.join(self.start())
        said = self.said()[before:]
        if code != 2 or "Traceback" in said or not all(name in said for name in named):
            self.complaints.append(f"no clear refusal naming {named}: {code}, {said[-400:]!r}")
        if dict(self.commits.read()) != records:
            self.complaints.append("something was committed by a run that refuses")

    def finish(self) -> None:
        """Run again until everything is done, as a user would."""
        for _ in range(MOST_STARTS):
            if self.join(self.start()) == 0:
                return
        self.complaints.append(f"not done after {MOST_STARTS} more starts: {self.said()[-600:]!r}")

    def tidy(self) -> list[str]:
        """What is left of a study that is done, after `gc`: processes, leases, parts, folders."""
        left = []
        for process in self.processes:
            if process.exitcode is None:
                left.append(f"process {process.pid}")
                process.kill()
                process.join()
        for part in self.store_path.rglob(".part-*"):
            # `gc` leaves what is younger than a minute, since it may be at work.
            os.utime(part, (time.time() - 120, time.time() - 120))
        self.command("gc", "--yes")
        left += [str(path.name) for path in self.temporary.iterdir()]
        for name in self.names():
            inside = name.split("/")
            if inside[0] in ("steps", "leases", "resume", "probe") and name != STAGING_LEASE:
                left.append(name)
        return left

    def names(self) -> list[str]:
        """Every file of the store."""
        return [
            path.relative_to(self.store_path).as_posix()
            for path in self.store_path.rglob("*")
            if path.is_file() and path.name != ".replacing"
        ]

    def judge(self) -> dict[str, Any]:
        """The figures of this run."""
        store = self.store
        scan = store.scan()
        steps = self.calm.plan.steps
        found = {}
        for step in steps:
            if step in scan.done:
                found[step] = json.loads(json.dumps(store.record(step).science()))
        counts = self.commits.read()
        twice = sorted(s for s, n in counts.items() if n > 1 and s not in self.again)
        lost = sorted(step for step in counts if step not in scan.done)
        if pending_steps(self.calm.plan, scan):
            self.complaints.append("steps are pending")
        return {
            "steps": len(steps),
            "equal": sum(found.get(step) == self.calm.expected[step] for step in steps),
            "twice": twice,
            "lost": lost,
            "hung": self.hung,
            "left": self.tidy(),
            "starts": self.starts,
            "codes": self.codes,
            "complaints": self.complaints,
        }


def calm_in(folder: Path) -> Calm:
    """The calm study of a folder, made there if it is not there. Seven steps."""
    kept = folder / "expected.json"
    if not kept.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        kept.write_text(json.dumps(_make_calm(folder).expected))
    file, staged = folder / "study.yaml", folder / "staged"
    plan = current_plan(load_study(str(file)), Store.open(staged))
    return Calm(file=file, staged=staged, plan=plan, expected=json.loads(kept.read_text()))


def _make_calm(folder: Path) -> Calm:
    """Make the study, stage it, and run it without a fault."""
    models = [{"name": "tiny-1", **make_model(folder / "tiny-1", "xlm-roberta", 1)}]
    content = tiny_content(models) | {"name": "faults"}
    content["placement"]["default"]["resume_every"] = 10
    file, staged = write_study(folder, content), folder / "staged"
    study = load_study(str(file))
    case = Case(
        calm=Calm(
            file=file, staged=staged, plan=current_plan(study, Store.open(folder)), expected={}
        ),
        folder=folder / "calm",
        random=random.Random(0),
        store_path=staged,
    )
    case.folder.mkdir()
    case.temporary.mkdir()
    case.command("stage")
    if case.complaints:
        raise RuntimeError(f"staging failed: {case.complaints} {case.said()}")
    plan = current_plan(study, Store.open(staged))
    ran = Case(
        calm=Calm(file=file, staged=staged, plan=plan, expected={}),
        folder=folder / "calm",
        random=random.Random(0),
        store_path=folder / "calm" / "store",
    ).begin()
    ran.finish()
    store = ran.store
    expected = {step: store.record(step).science() for step in plan.steps}
    if ran.complaints or ran.starts != 1:
        raise RuntimeError(f"the calm run failed: {ran.complaints} {ran.said()}")
    return Calm(file=file, staged=staged, plan=plan, expected=expected)


@contextmanager
def disk(path: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own, so small that it can be filled."""
    path.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=True
    )
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> Path:
    """Take the last byte of a disk; the file that has it."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as stream:
        for block in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    stream.write(b"\0" * block)
            except OSError:
                continue
    return filler


def remount(path: Path, how: str) -> None:
    """`ro` or `rw`. Waits until nobody has a file open for writing."""
    deadline = time.monotonic() + 20
    while True:
        done = subprocess.run(
            ["mount", "-o", f"remount,{how}", str(path)], capture_output=True, check=False
        )
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise Missed(f"remount: {done.stderr.decode()}")
        time.sleep(0.02)


Kind = Callable[[Case], None]


def stop_for(case: Case, process: ForkServerProcess, seconds: float) -> None:
    """Stop a process as a suspended machine does, for so long."""
    case.end(process, signal.SIGSTOP)
    time.sleep(seconds)
    case.end(process, signal.SIGCONT)
