"""What workers say: the end of each worker's log lies in the store, and outlives the machine.

logs/SESSION/RANK.log       rank 0 always; another rank if it failed
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from scaling.store.store import Store

MOST_LINES = 400
PUT_SECONDS = 10.0


class TailHandler(logging.Handler):
    """Keeps the last lines, each with time, rank and step; writes them to the store at times."""

    def __init__(self, store: Store, name: str, rank: int) -> None:
        super().__init__(logging.INFO)
        self.store, self.name_there, self.rank = store, name, rank
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self._put_at = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message; write the lines if it is time, or at once for an error."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        start = f"{at} rank {self.rank} {getattr(record, 'step', '-')} "
        self.lines += [start + line for line in self.format(record).splitlines()]
        # Other ranks say the same as rank 0, until they fail; an error may be the last thing that
        # this process says.
        due = self.rank == 0 and time.monotonic() - self._put_at > PUT_SECONDS
        if due or record.levelno >= logging.ERROR:
            self.put()

    def put(self) -> None:
        """Write the lines to the store. An error of the store is ignored."""
        self._put_at = time.monotonic()
        # A log that cannot be stored must not end a training.
        with suppress(OSError):
            self.store.write(self.name_there, "\n".join(self.lines) + "\n")


@contextmanager
def kept_log(store: Store, session: str, rank: int) -> Iterator[None]:
    """Keep this process's log while a session runs: ours from INFO on, others' from WARNING on."""
    handler = TailHandler(store, f"logs/{session}/{rank}.log", rank)
    root, ours = logging.getLogger(), logging.getLogger("scaling")
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    except BaseException:
        handler.put()
        raise
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)
    if rank == 0:
        handler.put()


def log_lines(store: Store, step: str | None = None) -> list[str]:
    """All lines that the store has, oldest first; of one step if it is given."""
    names = [entry.name for entry in store.entries("logs") if entry.name.endswith(".log")]
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda name: store.read(name).decode(errors="replace"), names))
    lines = [line for text in texts for line in text.splitlines()]
    # Every line begins with its time; lines of one second keep their order.
    return sorted(
        (line for line in lines if step is None or f" {step} " in line), key=lambda line: line[:19]
    )
