"""How far a study is and what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.cli.live import status_lines
from scaling.planning.progress import study_status
from scaling.store.store import Store
from scaling.study.steps import Plan


def test_money_is_counted_as_the_budget_counts_it(small: tuple[Path, Plan, Store]) -> None:
    """Starts and failed work cost too: two device hours of a session of which nothing was
    finished.
    """
    _, plan, store = small
    session = {
        "asked_at": 0.0,
        "start_seconds": 60.0,
        "workers": 2,
        "steps": list(plan.steps),
        "device_seconds": 7200,
    }
    store.write("sessions/session-1.json", json.dumps(session))
    status = study_status(plan, store)
    assert status.dollars == pytest.approx(2 * 1.9)
    assert "spent $3.80 of $40.00" in status_lines(status, plan.study.budget_dollars)
