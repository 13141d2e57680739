"""A lease with heartbeat, so that two drivers on one store never do a step twice.

It works on any store that lists consistently, by write-then-list: everybody writes an own file
first and lists the folder afterwards. Two who both saw only themselves would each have listed
before the other wrote, which this order rules out. Whoever sees somebody else alive withdraws,
waits a random moment and looks again. Ages are differences of the store's own time stamps, so that
the clocks of two machines do not matter.

A holder that slept through its expiry may wake up in the middle of a heartbeat and write its lease
again. So it repeats write-then-list before it commits, and whoever took over ignores the owner that
it took over from.
"""

from __future__ import annotations

import json
import math
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pyarrow import fs

from scaling.store.paths import StepFolder, lease_owner, split_step
from scaling.store.store import Store, StoreError, plain_name

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
CLOCK = "clock"
"""Folder of files that ask the store for its time."""


class LeaseLost(RuntimeError):
    """Somebody else took the step over; this run must stop and write nothing more."""


def new_owner() -> str:
    """Id of a process that works: host.pid.random.

    By the first two a machine sees that its own dead processes are dead.
    """
    return f"{_here()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"


def _here() -> str:
    """Where process ids mean the same processes.

    Not the host alone: two containers may share a host's name and not its processes.
    """
    try:
        processes = f"-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        processes = ""
    return socket.gethostname().replace(".", "-") + processes


def dead_here(owner: str) -> bool:
    """Whether the owner was a process of this machine that no longer runs."""
    parts = owner.split(".")
    if len(parts) != 3 or parts[0] != _here():
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
    """A held claim on one step.

    The holder notes in `progress` how far it is, and calls `release` in the end, whatever happened.
    """

    store: Store
    step: str
    owner: str
    progress: dict[str, Any] = field(default_factory=dict)
    _expiry: float = EXPIRY_SECONDS
    _beaten: set[str] = field(default_factory=set)
    """Owners whose expired lease we took over."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _heart: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Store name of its file."""
        return StepFolder(self.step).lease(self.owner)

    def check(self) -> None:
        """LeaseLost if another owner took over."""
        if self._lost.is_set():
            raise LeaseLost(f"{self.step}: the lease of {self.owner} was taken over")

    def still_ours(self) -> None:
        """Ask the store, now, before anything that cannot be taken back.

        LeaseLost if somebody else holds the step. An owner that only tries withdraws at once, and
        one that died trying expires: both are waited for. The holder keeps sending heartbeats.
        """
        if not self.store.exists(self.name):
            self._lost.set()
        since: dict[str, datetime] = {}
        while not self._lost.is_set():
            self._write()
            rivals = self._rivals()
            if rivals is None:
                self._lost.set()
                break
            if not rivals:
                break
            since = {owner: since.get(owner, stamp) for owner, stamp in rivals.items()}
            if any(
                (rivals[owner] - first).total_seconds() > BEAT_SECONDS / 2
                for owner, first in since.items()
            ):
                self._lost.set()
            time.sleep(BEAT_SECONDS / 10)
        self.check()

    def release(self) -> None:
        """Stop the heartbeat and delete the lease."""
        self._stop.set()
        if self._heart is not None:
            # A beat that is under way would write the lease again after we deleted it.
            self._heart.join()
        self.store.delete(self.name)

    def _rivals(self) -> dict[str, datetime] | None:
        """Other living owners → their last beat; None if our own lease is gone.

        Deletes the leases of the dead and of owners that we took over from. If ours is gone,
        somebody took us for dead and may be working by now.
        """
        beats = last_beats(self.store, self.step)
        now = beats.pop(self.owner, None)
        if now is None:
            return None
        rivals = {}
        for other, stamp in beats.items():
            if (
                other in self._beaten
                or (now - stamp).total_seconds() > self._expiry
                or dead_here(other)
            ):
                self._beaten.add(other)
                self.store.delete(StepFolder(self.step).lease(other))
            else:
                rivals[other] = stamp
        return rivals

    def _write(self) -> None:
        self.store.write(self.name, json.dumps({"owner": self.owner, "progress": self.progress}))

    def _beat_for_ever(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(BEAT_SECONDS):
            try:
                if not self.store.exists(self.name):
                    self._lost.set()
                    return
                self._write()
                last = time.monotonic()
            except OSError:
                # Storage that is away for a moment costs nothing; away for longer, and others see
                # us as dead.
                if time.monotonic() - last > self._expiry:
                    self._lost.set()
                    return


def last_beats(store: Store, step: str) -> dict[str, datetime]:
    """Owner → time of its last beat by the store's own clock."""
    beats = {}
    for info in store.listing(StepFolder(step).leases):
        inside = split_step(store.name_of(info))
        owner = lease_owner(inside[1]) if inside is not None else None
        if info.type == fs.FileType.File and owner is not None:
            beats[owner] = info.mtime
    return beats


def claim(
    store: Store, step: str, owner: str, *, tries: int = 3, expiry: float = EXPIRY_SECONDS
) -> Lease | None:
    """The lease on a step, or None if somebody alive has it. Takes over from the dead.

    Args:
        store: Where the lease lies.
        step: What is claimed.
        owner: Who claims it, by `new_owner`.
        tries: Looks, a random moment apart, before it gives up.
        expiry: Seconds without a heartbeat after which an owner counts as dead.
    """
    lease = Lease(store, plain_name(step), plain_name(owner), _expiry=expiry)
    for attempt in range(tries):
        lease._write()
        if lease._rivals() == {}:
            lease._heart = threading.Thread(
                target=lease._beat_for_ever, name=f"lease-{step}", daemon=True
            )
            lease._heart.start()
            return lease
        store.delete(lease.name)
        if attempt + 1 < tries:
            time.sleep(random.uniform(0.02, 0.2))
    return None


def store_time(store: Store) -> datetime:
    """Now, by the store's own clock: the time stamp that it gives a file."""
    name = f"{CLOCK}/{new_owner()}"
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


def _progress_in(raw: Any) -> dict[str, float]:
    """How far a step is, of what a lease says; {} of one that says nothing or something else."""
    said = raw.get("progress") if isinstance(raw, dict) else None
    found = said if isinstance(said, dict) else {}
    done, total = _number(found.get("done")), _number(found.get("total"))
    return {"done": done, "total": total} if 0 <= done <= total < math.inf else {}


def _number(value: Any) -> float:
    """A number, or the number that is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return math.nan


def working(store: Store, leases: Mapping[str, tuple[str, ...]]) -> list[Working]:
    """Steps with a live lease, and how far they are."""
    alive = []
    now = store_time(store) if leases else None
    for step, owners in leases.items():
        for owner in owners:
            name = StepFolder(step).lease(owner)
            info = store.filesystem.get_file_info(store.path(name))
            if now is None or info.type == fs.FileType.NotFound or dead_here(owner):
                continue
            age = max(0.0, (now - info.mtime).total_seconds())
            if age <= EXPIRY_SECONDS:
                try:
                    progress = _progress_in(store.read_json(name))
                except FileNotFoundError:
                    # Released since it was listed.
                    continue
                except StoreError:
                    progress = {}
                alive.append(Working(step=step, owner=owner, age_seconds=age, progress=progress))
    return alive
