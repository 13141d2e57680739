"""What a study has cost so far, from the store alone, so that a resubmission goes on counting.

sessions/ID.json            one worker group: `note_start` makes it, `note_end` adds what it cost

What a session cost includes work that failed. Of a session whose driver died the store knows the
start and the steps that were committed: what it lost with its last, unfinished step is not counted.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from scaling.spec import first_fault
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.study import Study, price_of

FOLDER = "sessions"


@dataclass(frozen=True, kw_only=True)
class SessionCost:
    """What one worker group cost."""

    asked_at: float
    """When the group was asked for; seconds since 1970."""
    start_seconds: float
    """From then until its processes could work."""
    workers: int
    steps: tuple[str, ...]
    """What it was asked to do."""
    sharing: int = 1
    """Sessions to a device."""
    device_seconds: float | None = None
    """From start to end, all workers together; None while it works, and if its driver died."""


def note_start(
    store: Store,
    session: str,
    *,
    asked_at: float,
    workers: int,
    steps: Sequence[str],
    sharing: int = 1,
) -> None:
    """Note that a session's workers can work now.

    Args:
        store: The study's store.
        session: Id of the session.
        asked_at: When its worker group was asked for; seconds since 1970.
        workers: Processes of the group, a device each.
        steps: What the session was asked to do.
        sharing: Sessions to a device.
    """
    cost = SessionCost(
        asked_at=asked_at,
        start_seconds=time.time() - asked_at,
        workers=workers,
        steps=tuple(steps),
        sharing=sharing,
    )
    _write(store, session, cost)


def note_end(store: Store, session: str, workers: int) -> float:
    """Note what a session cost that ends now, in device seconds; 0 if it never started."""
    if not store.exists(session_name(session)):
        return 0.0
    started = _read(store, session)
    device_seconds = max(0.0, time.time() - started.asked_at) * workers / started.sharing
    _write(store, session, SessionCost(**{**vars(started), "device_seconds": device_seconds}))
    return device_seconds


def read_sessions(store: Store) -> dict[str, SessionCost]:
    """Id → every session that ever started. What did not change is not read again."""
    entries = [entry for entry in store.entries(FOLDER) if entry.name.endswith(".json")]
    texts = store.index.texts(entries)
    return {
        name.removeprefix(f"{FOLDER}/").removesuffix(".json"): _parse(store, name, text)
        for name, text in texts.items()
    }


def spent_device_seconds(
    sessions: Iterable[SessionCost], records: Mapping[str, StepRecord]
) -> float:
    """Device seconds of everything that ran.

    Sessions that ended count whole. Of the others count their starts and the steps they finished.
    """
    counted: set[str] = set()
    total = 0.0
    for session in sessions:
        if session.device_seconds is not None:
            total += session.device_seconds
            counted.update(session.steps)
        else:
            total += session.start_seconds * session.workers / session.sharing
    for step, record in records.items():
        if step not in counted:
            total += record.cost.wall_seconds * record.cost.num_devices
    return total


def price_paid(study: Study, records: Iterable[StepRecord]) -> float | None:
    """Dollars per device and second of what ran; None if nothing says what a device costs.

    None too where the price is the table's, of the study's GPU, and something ran on CPUs.
    """
    is_assumed = study.dollars_per_device_hour is None
    if is_assumed and any(record.cost.device == "cpu" for record in records):
        return None
    return price_of(study)


def session_name(session: str) -> str:
    """Store name of what a session cost."""
    return f"{FOLDER}/{session}.json"


_COST = TypeAdapter(SessionCost)


def _read(store: Store, session: str) -> SessionCost:
    """StoreError with its name for a file that no session wrote: budgets are counted by them."""
    name = session_name(session)
    return _parse(store, name, store.read(name))


def _parse(store: Store, name: str, text: bytes | str) -> SessionCost:
    raw = json.dumps(store.parse_json(name, text))
    try:
        cost = _COST.validate_json(raw, strict=True)
    except ValidationError as error:
        raise store.broken(name, first_fault(error)) from error
    numbers = (cost.asked_at, cost.start_seconds, cost.workers, cost.device_seconds or 0.0)
    if not all(math.isfinite(number) for number in numbers) or cost.workers < 1 or cost.sharing < 1:
        raise store.broken(name, "a number that no session writes")
    return cost


def _write(store: Store, session: str, cost: SessionCost) -> None:
    raw = {name: value for name, value in asdict(cost).items() if value is not None}
    store.write_json(session_name(session), raw)
