"""A Ray cluster of several nodes on one machine, and a seeded injector that kills what runs on it,
by process id.
"""

from __future__ import annotations

import ctypes
import os
import random
import secrets
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
# In random order. `trial` and `controller` are Ray's processes of a session on the head, `node` is
# a machine without notice, `drain` one with notice, `head` the machine of the driver: the cluster
# is gone with it and comes anew.
KINDS = ("worker", "worker", "trial", "controller", "node", "driver", "drain", "head")
_TITLES = {
    "worker": "ray::RayTrainWorker",
    "trial": "ray::ImplicitFunc",
    "controller": "ray::TrainController",
}
# Ray's own: one for the whole cluster, as long as it lives; two for each node.
SINGLETONS = ("_AutoscalingCoordinatorActor",)
AGENTS = ("DashboardAgent", "RuntimeEnvAgent")
DRAIN_SECONDS = 12
LIMIT_SECONDS = 3600.0


@contextmanager
def signed() -> Iterator[None]:
    """A token and a folder for all clusters of this process, which reads either only once."""
    # Ray's sockets lie below the folder, and a socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="ch", dir="/tmp", ignore_cleanup_errors=True) as folder:
        token = Path(folder) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        os.environ.update(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN_PATH=str(token),
            RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S="1",
            # The address that Cluster leaves for `auto` belongs to nobody else on this machine.
            RAY_TMPDIR=folder,
            # Workers as fast as everything else, or a busy machine starves them.
            RAY_worker_niceness="0",
        )
        yield


@dataclass
class Nodes:
    """A head without work and some nodes with one CPU each, started in this process's name and
    ended by id.
    """

    count: int
    family: dict[int, float] = field(default_factory=dict)
    """Every process ever seen below a node, with its start time."""

    def __enter__(self) -> Nodes:
        self._start()
        return self

    def _start(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        _patiently(
            self.cluster.add_node,
            num_cpus=0,
            resources={"driver_slot": 64},
            include_dashboard=False,
            object_store_memory=100 * 1024 * 1024,
        )
        for _ in range(self.count):
            self.add()

    def lose_head(self) -> None:
        """Kill the head without a word; nodes that lose it are of no use. A new cluster takes its
        place.
        """
        self.look()
        for process in self.cluster.head_node.live_processes():
            process[1].kill()
        self.cluster.shutdown()
        self._start()

    def __exit__(self, *_: object) -> None:
        self.look()
        self.cluster.shutdown()
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        """A node more."""
        _patiently(self.cluster.add_node, num_cpus=1, object_store_memory=100 * 1024 * 1024)

    def remove(self, node: Any) -> None:
        """Kill a node without a word."""
        self.cluster.remove_node(node, allow_graceful=False)

    def workers(self) -> list[Any]:
        """Nodes other than the head, in the order they came."""
        return sorted(self.cluster.worker_nodes, key=lambda node: str(node.unique_id))

    def look(self) -> list[psutil.Process]:
        """Processes below the nodes now; remembers them."""
        found = []
        for node in [self.cluster.head_node, *self.cluster.worker_nodes]:
            for infos in list(node.all_processes.values()):
                for info in infos:
                    try:
                        process = psutil.Process(info.process.pid)
                        found += [process, *process.children(recursive=True)]
                    except psutil.NoSuchProcess:
                        continue
        for process in found:
            try:
                self.family.setdefault(process.pid, process.create_time())
            except psutil.NoSuchProcess:
                continue
        return found

    def titled(self, kind: str) -> list[int]:
        """Process ids of Ray's processes of a kind, oldest first."""
        return sorted(
            process.pid for process in self.look() if title(process).startswith(_TITLES[kind])
        )

    def outlived(self, patience_seconds: float = 30.0) -> list[str]:
        """Processes of the family that outlive their nodes for so long, by what they call
        themselves.
        """
        deadline = time.monotonic() + patience_seconds
        while (found := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return [
            f"process {pid} {title(psutil.Process(pid))[:80]}"
            for pid in found
            if psutil.pid_exists(pid)
        ]

    def alive(self) -> list[int]:
        """Those of the family that still run."""
        found = []
        for pid, created in self.family.items():
            try:
                process = psutil.Process(pid)
                if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
            except psutil.NoSuchProcess:
                continue
        return found

    def orphans(self, patience_seconds: float = 40.0) -> list[str]:
        """Placement groups, actors and working processes that outlive the study for so long."""
        deadline = time.monotonic() + patience_seconds
        while True:
            state = self.cluster.global_state
            groups = [
                f"placement group: {group['state']}"
                for group in state.placement_group_table().values()
                if group["state"] != "REMOVED"
            ]
            actors = [
                f"actor {actor['ActorClassName']}: {actor['State']}"
                for actor in state.actor_table(None).values()
                if actor["State"] != "DEAD" and actor["ActorClassName"] not in SINGLETONS
            ]
            titles = [
                title(process).split()[0]
                for process in self.look()
                if title(process).startswith("ray::")
            ]
            ours = [
                found
                for found in titles
                if found.removeprefix("ray::") not in ("IDLE", *SINGLETONS, *AGENTS)
            ]
            left = groups + actors + ours
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(1)


def _patiently(add_node: Callable[..., Any], **options: Any) -> None:
    """Start a node. Ray allows this in the main thread only, and gives a raylet 30 seconds on a
    busy machine.
    """
    for attempt in range(4):
        try:
            add_node(**options)
        except Exception as error:  # Ray raises nothing narrower
            if attempt == 3 or "timed out during startup" not in str(error):
                raise
        else:
            return


def title(process: psutil.Process) -> str:
    """What a process calls itself; empty if it is gone."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@dataclass
class Driver:
    """`scaling run` as a process, started again whenever it ends before the study does."""

    study: Path
    store: Path
    address: str
    log: Path
    starts: int = 0

    def start(self) -> None:
        self.starts += 1
        with self.log.open("a") as log:
            print(f"== start {self.starts}", file=log, flush=True)
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "scaling.cli",
                    "run",
                    str(self.study),
                    "--store",
                    str(self.store),
                    "--address",
                    self.address,
                ],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


class Commits:
    """Every record that appears or is replaced, as the kernel reports it (inotify), however short
    it lives.
    """

    def __init__(self, store: Path, steps: Collection[str]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._queue = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.count: Counter[str] = Counter()
        self.total = len(steps)
        folder = store / "records"
        folder.mkdir(parents=True, exist_ok=True)
        created_or_moved_to = 0x100 | 0x80
        if libc.inotify_add_watch(self._queue, os.fsencode(folder), created_or_moved_to) < 0:
            raise OSError(ctypes.get_errno(), f"inotify: {folder}")

    def read(self) -> Counter[str]:
        """Step → how often its record was written so far."""
        try:
            while raw := os.read(self._queue, 1 << 16):
                at = 0
                while at < len(raw):
                    _, mask, _, length = struct.unpack_from("iIII", raw, at)
                    name = raw[at + 16 : at + 16 + length].rstrip(b"\0")
                    at += 16 + length
                    if mask & 0x4000:
                        raise OverflowError("inotify lost events; the count cannot be trusted")
                    if name.endswith(b".json"):
                        self.count[name.removesuffix(b".json").decode()] += 1
        except BlockingIOError:
            pass
        return self.count


@dataclass
class Injector:
    """Kills at random times, for as long as the study runs or its list is not empty."""

    nodes: Nodes
    seed: int
    kills: int
    done: list[str] = field(default_factory=list)
    _removals: list[tuple[float, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        turns = [list(KINDS) for _ in range(-(-self.kills // len(KINDS)))]
        for turn in turns:
            self._random.shuffle(turn)
        kinds = [kind for turn in turns for kind in turn][: self.kills]
        # Shares of the study after which each is due: over the whole run, some right after another.
        self._list = list(
            zip(sorted(self._random.uniform(0.0, 0.9) for _ in kinds), kinds, strict=True)
        )

    def run(self, driver: Driver, commits: Commits) -> float:
        """Seconds until the study is done. RuntimeError if it never is."""
        try:
            return self._run(driver, commits)
        finally:
            if driver.process.poll() is None:
                driver.process.kill()

    def _run(self, driver: Driver, commits: Commits) -> float:
        started = time.monotonic()
        driver.start()
        at: float | None = None
        while True:
            now = time.monotonic()
            if now - started > LIMIT_SECONDS:
                raise RuntimeError(
                    f"seed {self.seed}: not done after {LIMIT_SECONDS} s:\n{driver.tail()}"
                )
            code = driver.process.poll()
            if code == 2:
                raise RuntimeError(f"seed {self.seed}: the driver refuses:\n{driver.tail()}")
            if code == 0:
                self._after_notice(always=True)
                return now - started
            if code is not None:
                driver.start()
            share = len(commits.read()) / commits.total
            self._after_notice()
            if self._list and share >= self._list[0][0]:
                at = at or now + self._random.uniform(0.0, 8.0)
                if now >= at and self._kill(self._list[0][1], driver):
                    print(
                        f"  seed {self.seed}: {share:.0%} done, killed: {self._list.pop(0)[1]}",
                        flush=True,
                    )
                    at = None
            time.sleep(0.3)

    def _kill(self, kind: str, driver: Driver) -> bool:
        """Whether there was something of this kind to kill."""
        if kind == "driver":
            driver.process.kill()
            driver.process.wait()
        elif kind == "head":
            driver.process.kill()
            driver.process.wait()
            self._removals.clear()
            self.nodes.lose_head()
            driver.address = self.nodes.address
        elif kind in ("node", "drain"):
            busy = [node for node in self.nodes.workers() if self._works(node)]
            if not busy or self._removals:
                return False
            node = self._random.choice(busy)
            if kind == "node":
                self.nodes.remove(node)
                self.nodes.add()
            else:
                self._drain(node)
        else:
            found = self.nodes.titled(kind)
            if not found:
                return False
            try:
                os.kill(self._random.choice(found), signal.SIGKILL)
            except ProcessLookupError:
                return False
        self.done.append(kind)
        return True

    def _works(self, node: Any) -> bool:
        raylet = node.all_processes["raylet"][0].process.pid
        below: Sequence[psutil.Process] = psutil.Process(raylet).children(recursive=True)
        return any(title(process).startswith(_TITLES["worker"]) for process in below)

    def _drain(self, node: Any) -> None:
        """Notice as a spot machine gets it: drained with a deadline, gone when that has passed."""
        subprocess.run(
            [
                str(Path(sys.executable).with_name("ray")),
                "drain-node",
                "--address",
                self.nodes.address,
                "--node-id",
                str(node.node_id),
                "--reason",
                "DRAIN_NODE_REASON_PREEMPTION",
                "--reason-message",
                "spot notice",
                "--deadline-remaining-seconds",
                str(DRAIN_SECONDS),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.nodes.add()
        self._removals.append((time.monotonic() + DRAIN_SECONDS, node))

    def _after_notice(self, always: bool = False) -> None:
        for when, node in list(self._removals):
            if always or time.monotonic() > when:
                self.nodes.remove(node)
                self._removals.remove((when, node))
