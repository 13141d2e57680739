"""Two drivers on one store never do a step twice: a lease with heartbeat, on any store that lists consistently.

Write-then-list: everybody writes an own file first and lists the folder afterwards. Two who both saw only
themselves would each have listed before the other wrote, which write-before-list rules out. Whoever sees somebody
else alive withdraws, waits a random moment and looks again. Ages are differences of the store's own time stamps,
so that the clocks of two machines do not matter.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pyarrow import fs

from scaling.store import Store

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0


class LeaseLost(RuntimeError):
    """Somebody else took the step over; this run must stop and write nothing more."""


def new_owner() -> str:
    """host.pid.random: who works here. The first two let a machine see that its own dead processes are dead."""
    return f"{socket.gethostname().replace('.', '-')}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


def dead_here(owner: str) -> bool:
    """Whether the owner was a process of this machine that no longer runs."""
    parts = owner.split(".")
    if len(parts) != 3 or parts[0] != socket.gethostname().replace(".", "-"):
        return False
    try:
        os.kill(int(parts[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False


@dataclass
class Lease:
    """A held claim on one step. Call `beat` with progress; call `release` in the end, whatever happened."""

    store: Store
    step: str
    owner: str
    progress: dict[str, Any] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return f"steps/{self.step}/leases/{self.owner}.json"

    def check(self) -> None:
        """LeaseLost if another owner took over."""
        if self._lost.is_set():
            raise LeaseLost(f"{self.step}: the lease of {self.owner} was taken over")

    def still_ours(self) -> None:
        """Ask the store, now: before anything that cannot be taken back."""
        if not self.store.exists(self.name):
            self._lost.set()
        self.check()

    def release(self) -> None:
        self._stop.set()
        self.store.delete(self.name)

    def _write(self) -> None:
        self.store.write(self.name, json.dumps({"owner": self.owner, "progress": self.progress}))

    def _beat_for_ever(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            if not self.store.exists(self.name):
                self._lost.set()
                return
            self._write()


def _ages(store: Store, step: str, own: str) -> dict[str, float]:
    """Owner → seconds since its last beat, measured against our own file's time stamp."""
    stamps: dict[str, datetime] = {}
    for info in store.listing(f"steps/{step}/leases"):
        if info.type == fs.FileType.File and info.base_name.endswith(".json") and not info.base_name.startswith("."):
            stamps[info.base_name.removesuffix(".json")] = info.mtime
    now = stamps.get(own)
    if now is None:
        return {}
    return {owner: (now - stamp).total_seconds() for owner, stamp in stamps.items() if owner != own}


def claim(store: Store, step: str, owner: str, *, tries: int = 3, expiry: float = EXPIRY_SECONDS) -> Lease | None:
    """The lease on a step, or None if somebody alive has it. Takes over from the dead."""
    lease = Lease(store, step, owner)
    for attempt in range(tries):
        lease._write()
        alive = False
        for other, age in _ages(store, step, owner).items():
            if age > expiry or dead_here(other):
                store.delete(f"steps/{step}/leases/{other}.json")
            else:
                alive = True
        if not alive:
            threading.Thread(target=lease._beat_for_ever, name=f"lease-{step}", daemon=True).start()
            return lease
        store.delete(lease.name)
        if attempt + 1 < tries:
            time.sleep(random.uniform(0.02, 0.2))
    return None


def store_time(store: Store) -> datetime:
    """Now, by the store's own clock: the time stamp that it gives a file."""
    name = f"clock/{new_owner()}"
    store.write(name, "")
    stamp: datetime = store.filesystem.get_file_info(store.path(name)).mtime
    store.delete(name)
    return stamp


@dataclass(frozen=True, kw_only=True)
class Working:
    """A step that somebody works on, as its lease tells."""

    step: str
    owner: str
    age_seconds: float
    progress: Mapping[str, Any]


def working(store: Store, leases: Mapping[str, tuple[str, ...]]) -> list[Working]:
    """Steps with a live lease, and how far they are."""
    found = []
    now = time.time()
    for step, owners in leases.items():
        for owner in owners:
            name = f"steps/{step}/leases/{owner}.json"
            info = store.filesystem.get_file_info(store.path(name))
            if info.type == fs.FileType.NotFound or dead_here(owner):
                continue
            age = max(0.0, now - info.mtime.timestamp())
            if age <= EXPIRY_SECONDS:
                progress = json.loads(store.read(name)).get("progress", {})
                found.append(Working(step=step, owner=owner, age_seconds=age, progress=progress))
    return found
