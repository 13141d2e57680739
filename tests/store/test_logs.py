"""Logs that are kept in the store."""

from __future__ import annotations

import logging
from pathlib import Path

from scaling.store.logs import MOST_LINES, TailHandler, kept_log, log_lines
from scaling.store.store import Store
from tests.helpers.begun_study import LOG


def test_a_log_is_bounded_and_cheap(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    handler = TailHandler(store, "logs/s/0.log", 0)
    for number in range(3 * MOST_LINES):
        handler.handle(
            logging.LogRecord("scaling", logging.INFO, "", 0, "line %d", (number,), None)
        )
    # Nothing is written for every line.
    assert not store.exists("logs/s/0.log")
    handler.put()
    lines = log_lines(store)
    assert len(lines) == MOST_LINES
    assert lines[-1].endswith(f"line {3 * MOST_LINES - 1}")
    # Rank 1 has nothing of its own to say while all goes well.
    with kept_log(store, "s", 1):
        LOG.info("starts")
    assert not store.exists("logs/s/1.log")
