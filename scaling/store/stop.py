"""A request to stop, as a file in the store: `scaling cancel` without an address.

A driver obeys requests that are made after it began.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from datetime import UTC, datetime
from typing import Literal

from scaling.store.files import StoreError
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
    """What was asked since a driver began; looks at the store every few seconds at most.

    A store that is away for a moment asks nothing, and neither does a file that is no request.
    """

    def __init__(self, store: Store, old: str | None = None, *, until: float | None = None) -> None:
        """A driver's look at the requests of a store.

        Args:
            store: The study's store.
            old: The request that the driver found when it began; looked for if it is None.
            until: From this time on (seconds of `time.time()`) nothing more is to be started.
        """
        self._store, self.until = store, until
        self.old = self._read()[0] if old is None else old
        self._looked_at = -math.inf
        self._how: Stop = ""

    def _read(self) -> tuple[str, Stop]:
        try:
            raw = self._store.read_json(NAME)
            how = raw["how"]
            return str(raw["id"]), how if how in ("finish", "now") else ""
        except (OSError, StoreError, KeyError, TypeError):
            return "", ""

    @property
    def how(self) -> Stop:
        """What was asked since the driver began; '' if nothing was."""
        if time.monotonic() - self._looked_at >= REQUEST_SECONDS:
            self._looked_at = time.monotonic()
            identity, how = self._read()
            if identity and identity != self.old:
                self._how = how
        if not self._how and self.until is not None and time.time() >= self.until:
            return "finish"
        return self._how
