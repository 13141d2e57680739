"""A lease with heartbeat, so that two drivers on one store rarely do a step twice.

leases/STEP.json     {owner, token, beat, nonce, free, progress}

It is created once, and from then on replaced by its tag alone: of all who claim a step one wins,
and a holder whose beat is refused knows that it was taken over. Nobody compares clocks. Who wants a
step that is held watches its lease: one that did not change for a while by the watcher's own clock
is taken over. The lease protects time and money only. A record is created once, so numbers are
right without it.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scaling.store.files import Entry
from scaling.store.paths import PROBE, StepFolder, step_in
from scaling.store.place import plain_name
from scaling.store.store import Store

BEAT_SECONDS = 20.0
# Above three beats, and above the time that one request may take.
EXPIRY_SECONDS = 90.0
# Of people's clocks, where nothing else in the store says how late it is.
CLOCK_TOLERANCE = timedelta(seconds=60)


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


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a lease says. Of one that cannot be read nobody knows the owner."""

    owner: str = "?"
    token: int = 0
    """Grows by one with every owner."""
    free: bool = False
    progress: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Lease:
    """A held claim on one step.

    The holder notes in `progress` how far it is, and calls `release` in the end, whatever happened.
    """

    store: Store
    step: str
    owner: str
    token: int
    tag: str
    """Of the lease as this owner last wrote it."""
    progress: dict[str, Any] = field(default_factory=dict)
    _beats: int = 0
    _beating: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _heart: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Store name of its file."""
        return StepFolder(self.step).lease

    def check(self) -> None:
        """LeaseLost if another owner took over."""
        if self._lost.is_set():
            raise LeaseLost(f"{self.step}: the lease of {self.owner} was taken over")

    def beat(self) -> None:
        """Show life, now. LeaseLost if another owner took over."""
        # One of two beats at once would be refused.
        with self._beating:
            self._beats += 1
            body = _body(self.owner, self.token, beat=self._beats, progress=self.progress)
            tag = self.store.replace(self.name, body, self.tag)
            if tag is None:
                self._lost.set()
            else:
                self.tag = tag
        self.check()

    def release(self, *, done: bool = False) -> None:
        """Stop the heartbeat and let the step go.

        `done`: the step has a record, so that nobody works on it any more, whoever holds the lease.
        """
        self._stop.set()
        if self._heart is not None:
            # A beat that is under way would change the tag.
            self._heart.join()
        if done:
            self.store.delete(self.name)
        elif not self._lost.is_set():
            self.store.replace(self.name, _body(self.owner, self.token, free=True), self.tag)

    def _beat_for_ever(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self.beat()
                last = time.monotonic()
            except LeaseLost:
                return
            except OSError:
                # Storage that is away for a moment costs nothing; away for longer, and others see
                # us as dead.
                if time.monotonic() - last > EXPIRY_SECONDS:
                    self._lost.set()
                    return


def _body(
    owner: str,
    token: int,
    *,
    beat: int = 0,
    free: bool = False,
    progress: Mapping[str, Any] | None = None,
) -> str:
    # The nonce: tags of equal bodies may be equal.
    said = {"owner": owner, "token": token, "beat": beat, "free": free, "nonce": uuid.uuid4().hex}
    return json.dumps({**said, "progress": dict(progress or {})})


def _held(text: bytes | str) -> Held:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return Held()
    if not isinstance(raw, dict):
        return Held()
    owner, token = raw.get("owner"), raw.get("token")
    return Held(
        owner=owner if isinstance(owner, str) else "?",
        token=token if isinstance(token, int) else 0,
        free=raw.get("free") is True,
        progress=_progress_in(raw.get("progress")),
    )


def _progress_in(said: Any) -> dict[str, float]:
    """How far a step is, of what a lease says; {} of one that says nothing or something else."""
    found = said if isinstance(said, dict) else {}
    done, total = _number(found.get("done")), _number(found.get("total"))
    return {"done": done, "total": total} if 0 <= done <= total < math.inf else {}


def _number(value: object) -> float:
    """A number, or the number that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return value


def claim(store: Store, step: str, owner: str) -> Lease | None:
    """The lease on a step, or None if somebody has it who may be alive.

    Takes over from the dead: processes of this machine that ended, and leases that this process has
    watched for `EXPIRY_SECONDS` without a change, here or in `watch`.

    Args:
        store: Where the lease lies.
        step: What is claimed.
        owner: Who claims it, by `new_owner`.
    """
    name, token = StepFolder(plain_name(step)).lease, 1
    while (tag := store.create(name, _body(plain_name(owner), token))) is None:
        try:
            content = store.read_tagged(name)
        except FileNotFoundError:
            # Its step was done since.
            continue
        held = _held(content.body)
        silent = store.watch(name, content.tag) > EXPIRY_SECONDS
        if not (held.free or silent or dead_here(held.owner)):
            return None
        token = held.token + 1
        tag = store.replace(name, _body(owner, token), content.tag)
        if tag is None:
            # Another one was faster.
            return None
        break
    lease = Lease(store, step, owner, token, tag)
    lease._heart = threading.Thread(target=lease._beat_for_ever, name=f"lease-{step}", daemon=True)
    lease._heart.start()
    return lease


def let_go(store: Store, step: str, owner: str) -> None:
    """Free a step for the next try, if this owner holds it: for a process that ends itself."""
    name = StepFolder(step).lease
    # The heart beats on, which changes the tag.
    for _ in range(3):
        try:
            content = store.read_tagged(name)
        except FileNotFoundError:
            return
        held = _held(content.body)
        if held.owner != owner or store.replace(
            name, _body(owner, held.token, free=True), content.tag
        ):
            return


def silent_leases(store: Store, steps: Iterable[str]) -> dict[str, str]:
    """Step → tag of leases that this process has watched for long enough to take them over."""
    names = {step: StepFolder(step).lease for step in steps}
    silent = store.unchanged(EXPIRY_SECONDS)
    return {step: silent[name] for step, name in names.items() if name in silent}


def pass_on_silence(store: Store, leases: Mapping[str, str]) -> None:
    """Let this process know what another one watched: step → tag, as of `silent_leases`."""
    for step, tag in leases.items():
        store.watch(StepFolder(step).lease, tag, seconds=2 * EXPIRY_SECONDS)


def outlasted(store: Store, steps: Iterable[str]) -> set[str]:
    """Those of some held steps whose leases stay silent until they may be taken over.

    Waits for as long as that takes, or until the holder of every other one showed life.
    """
    names = {step: StepFolder(step).lease for step in steps}
    first = {step: store.look(name) for step, name in names.items()}
    waiting, found = {step for step, entry in first.items() if entry is not None}, set[str]()
    while waiting:
        for step in sorted(waiting):
            entry, before = store.look(names[step]), first[step]
            if entry is None or before is None or entry.tag != before.tag:
                waiting.discard(step)
            elif store.watch(entry.name, entry.tag) > EXPIRY_SECONDS:
                waiting.discard(step)
                found.add(step)
        if waiting:
            time.sleep(min(BEAT_SECONDS / 4, EXPIRY_SECONDS / 4))
    return found


def store_time(store: Store) -> datetime:
    """Now, by the store's own clock: the time stamp that it gives a file. Writes one."""
    name = f"{PROBE}/{uuid.uuid4().hex[:12]}"
    store.write(name, "")
    stamp = store.written_at(name)
    store.delete(name)
    return stamp or datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Working:
    """A step that somebody works on, as its lease tells."""

    step: str
    owner: str
    age_seconds: float
    """Since the last beat; by the store's time stamps, and coarser than `EXPIRY_SECONDS`."""
    progress: Mapping[str, Any]


def working(store: Store, leases: Iterable[Entry], now: datetime | None = None) -> list[Working]:
    """Steps with a lease that is not free, nor of a dead process, nor old.

    Writes nothing, so that whoever may only read can ask.

    Args:
        store: Where the leases lie.
        leases: As a listing shows them.
        now: By the store's own clock. If it is absent, the newest time stamp of the listing, or
            this machine's clock less `CLOCK_TOLERANCE`, whichever is later.
    """
    leases = list(leases)
    if now is None:
        stamps = [entry.at for entry in leases]
        now = max([datetime.now(UTC) - CLOCK_TOLERANCE, *stamps])
    fresh = [entry for entry in leases if (now - entry.at).total_seconds() <= EXPIRY_SECONDS]
    said = {name: _held(text) for name, text in store.index.texts(fresh).items()}
    return [
        Working(
            step=step_in(entry.name),
            owner=said[entry.name].owner,
            age_seconds=max(0.0, (now - entry.at).total_seconds()),
            progress=said[entry.name].progress,
        )
        for entry in fresh
        if entry.name in said
        and not said[entry.name].free
        and not dead_here(said[entry.name].owner)
    ]
