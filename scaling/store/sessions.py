"""What a study has cost so far, from the store alone, so that a resubmission goes on counting.

A session writes `sessions/ID.json` when it starts; its driver adds `device_seconds` when it ends,
failed work included. Of a session whose driver died the store knows the start and the steps that
were committed: what it lost with its last, unfinished step is not counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from scaling.store.records import StepRecord
from scaling.store.store import Store


def read_sessions(store: Store) -> list[dict[str, Any]]:
    """Every session that ever started."""
    names = [
        info.base_name for info in store.listing("sessions") if info.base_name.endswith(".json")
    ]
    return [json.loads(store.read(f"sessions/{name}")) for name in names]


def settle(store: Store, session: str, workers: int) -> float:
    """Note what a session cost that ends now, in device seconds; 0 if it never started."""
    name = f"sessions/{session}.json"
    if not store.exists(name):
        return 0.0
    started = json.loads(store.read(name))
    cost = max(0.0, time.time() - started["asked_at"]) * workers
    store.write(name, json.dumps({**started, "device_seconds": cost}))
    return cost


def spent_device_seconds(
    sessions: list[dict[str, Any]], records: Mapping[str, StepRecord]
) -> float:
    """Device seconds of everything that ran: ended sessions whole, of others their start and their
    finished steps.
    """
    settled: set[str] = set()
    total = 0.0
    for session in sessions:
        if "device_seconds" in session:
            total += session["device_seconds"]
            settled.update(session["steps"])
        else:
            total += session["start_seconds"] * session["workers"]
    for step, record in records.items():
        if step not in settled:
            total += record.cost.wall_seconds * record.cost.num_devices
    return total
