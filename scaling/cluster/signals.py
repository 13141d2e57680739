"""What asks a run to end: Ctrl-C, SIGTERM and SIGHUP, all alike."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Interrupted(KeyboardInterrupt):
    """A signal ended what ran; `signal` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


@dataclass
class Ended:
    """Which signal asked this process to end; 0 if none did, or Ctrl-C where a library took it."""

    signal: int = 0


@contextmanager
def ends_on_signals() -> Iterator[Ended]:
    """SIGTERM and SIGHUP end what runs as Ctrl-C does: worker groups first, then this process.

    Interrupted, once what ran has ended. Libraries set handlers of their own when they start, after
    which this has to be entered again; inside of itself it may be.
    """
    ended = Ended()

    def end(number: int, frame: object) -> None:
        ended.signal = number
        signal.raise_signal(signal.SIGINT)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield ended
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(ended.signal or signal.SIGINT) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
