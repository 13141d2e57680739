"""Two drivers on one store, undisturbed and not: `scaling run --here` as two processes."""

from __future__ import annotations

import signal
import time
from functools import partial

from benchmarks.fault_case import Case, Kind, Missed
from scaling.store.leases import EXPIRY_SECONDS


def _both(case: Case, *, staged: bool = True, later: float = 0.0, hours: float = 0.0) -> None:
    """Two at once, the second a little later, each with a clock of its own."""
    case.begin(staged=staged)
    first = case.start(shift_seconds=hours * 3600)
    time.sleep(later)
    second = case.start(shift_seconds=-hours * 3600)
    case.join(first)
    case.join(second)
    case.finish()


def _one_dies(case: Case, number: int) -> None:
    case.begin()
    first, second = case.start(), case.start()
    case.until(case.random.choice((0, 1, 3)), first)
    case.end(first, number)
    case.join(first)
    case.join(second)
    case.finish()


def _one_sleeps(case: Case, seconds: float) -> None:
    """One is stopped in the middle of a step for so long, then goes on."""
    case.begin()
    first = case.start()
    case.until(case.random.choice((0, 1)), first)
    case.end(first, signal.SIGSTOP)
    second = case.start()
    # Beyond the expiry the second takes over what the first had, and must be left alone.
    time.sleep(seconds)
    third = case.start() if second.exitcode is not None else None
    if third is not None:
        time.sleep(3.0)
    case.end(first, signal.SIGCONT)
    for process in (first, second, third):
        if process is not None and case.join(process) is None:
            raise Missed("hangs")
    case.finish()


def _three(case: Case) -> None:
    case.begin()
    for process in [case.start() for _ in range(3)]:
        case.join(process)
    case.finish()


PAIRS: dict[str, Kind] = {
    "two drivers": _both,
    "two drivers, the second later": partial(_both, later=2.0),
    "two drivers, nothing staged": partial(_both, staged=False),
    "two drivers, clocks four hours apart": partial(_both, hours=2.0),
    "three drivers": _three,
    "two drivers, one is killed": partial(_one_dies, number=signal.SIGKILL),
    "two drivers, one is interrupted": partial(_one_dies, number=signal.SIGINT),
    "two drivers, one sleeps": partial(_one_sleeps, seconds=8.0),
    "two drivers, one sleeps beyond its lease": partial(_one_sleeps, seconds=EXPIRY_SECONDS + 12.0),
}
