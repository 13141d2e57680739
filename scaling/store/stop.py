"""A request to stop, as a file in the store: `scaling cancel` without an address.

A driver obeys requests that are made after it began.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Literal

from scaling.store.store import Store

NAME = "stop.json"
REQUEST_SECONDS = 2.0

Stop = Literal["", "finish", "now"]
"""`finish`: start nothing more. `now`: end what runs as well; it resumes from its last resume
point.
"""


def ask_to_stop(store: Store, *, now: bool) -> None:
    """Ask the driver of a study to start nothing more; with `now`, to end what runs as well."""
    request = {
        "id": uuid.uuid4().hex,
        "how": "now" if now else "finish",
        "at": datetime.now(UTC).isoformat(),
    }
    store.write(NAME, json.dumps(request))


class StopRequest:
    """What the driver was asked to do; looks at the store every few seconds at most."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._old, _ = self._read()
        self._looked_at = 0.0
        self._how: Stop = ""

    def _read(self) -> tuple[str, Stop]:
        if not self._store.exists(NAME):
            return "", ""
        raw = json.loads(self._store.read(NAME))
        return raw["id"], raw["how"]

    @property
    def how(self) -> Stop:
        """What was asked since this driver began; '' if nothing was."""
        if time.monotonic() - self._looked_at >= REQUEST_SECONDS:
            self._looked_at = time.monotonic()
            identity, how = self._read()
            if identity != self._old:
                self._how = how
        return self._how
