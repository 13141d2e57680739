"""A rank that is silent or far over its time notes why and ends its process.

A hang must not hold devices for ever. A hang in a collective is seen by all ranks and caused by
one, so every rank watches itself. Ray ends the rest of the worker group once a rank is gone, and
the step is tried again with twice the time.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# A step may take this many times its estimate, which is good to a factor of two or so where nothing
# was measured.
FACTOR = 10.0
# A shorter limit would measure start-up and not the step.
FLOOR_SECONDS = 1800.0
# Allowed between two signs of progress. Loading and saving the largest model on slow storage stays
# below it.
SILENCE_SECONDS = 1800.0
# If C code holds the interpreter's lock for so long, the watching thread cannot run either, and
# faulthandler's own thread ends the process.
STUCK_SECONDS = 900.0
LOOK_SECONDS = 1.0
EXIT_CODE = 75
# Allowed for writing the note, since storage may be what hangs.
NOTE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What one try of a step may take."""

    total_seconds: float
    silent_seconds: float = SILENCE_SECONDS
    """Between two signs of progress."""


def limit_of(estimated_seconds: float, tries: int = 0) -> Limit:
    """The limit of a step by its estimate; twice as long after every failed try."""
    longer = 2.0**tries
    return Limit(
        total_seconds=longer * max(FLOOR_SECONDS, FACTOR * estimated_seconds),
        silent_seconds=longer * SILENCE_SECONDS,
    )


def _end() -> None:
    """End this process at once, whatever other threads do."""
    os._exit(EXIT_CODE)


@dataclass
class Watchdog:
    """Watches one piece of work at a time; `alive` is called whenever it makes progress."""

    end: Callable[[], None] = _end
    _last: float = field(default_factory=time.monotonic)

    def alive(self) -> None:
        """Say that there was progress."""
        self._last = time.monotonic()

    @contextmanager
    def watch(
        self, limit: Limit | None, note: Callable[[Mapping[str, Any]], None]
    ) -> Iterator[None]:
        """Hold the block to its limit: past it, `note` gets the reason and this process ends."""
        if limit is None:
            yield
            return
        over = threading.Event()
        self.alive()
        thread = threading.Thread(
            target=self._look,
            args=(limit, note, over, threading.get_ident()),
            name="deadline",
            daemon=True,
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _look(
        self,
        limit: Limit,
        note: Callable[[Mapping[str, Any]], None],
        over: threading.Event,
        worker: int,
    ) -> None:
        started = time.monotonic()
        armed = 0.0
        while not over.wait(LOOK_SECONDS):
            now = time.monotonic()
            if now - armed > STUCK_SECONDS / 10:
                # Ray replaces sys.stderr with an object that may have no file descriptor.
                faulthandler.dump_traceback_later(
                    STUCK_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr
                )
                armed = now
            reason = _passed(limit, now - started, now - self._last)
            if reason is None:
                continue
            frame = sys._current_frames().get(worker)
            where = "".join(traceback.format_stack(frame)[-4:]) if frame else ""
            writer = threading.Thread(
                target=note, args=({"error": f"DeadlinePassed: {reason}", "where": where},)
            )
            writer.daemon = True
            writer.start()
            writer.join(NOTE_SECONDS)
            self.end()
            return


def _passed(limit: Limit, total: float, silent: float) -> str | None:
    """Which limit was passed, in words; None if none was."""
    if silent > limit.silent_seconds:
        return f"no progress for {silent:.0f} s, {limit.silent_seconds:.0f} s are allowed"
    if total > limit.total_seconds:
        return (
            f"the step has taken {total:.0f} s, {limit.total_seconds:.0f} s are allowed"
            " (docs/architecture.md)"
        )
    return None
