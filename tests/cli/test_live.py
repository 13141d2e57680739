"""The table that follows a study, until the study ends."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

from rich.console import Console

from scaling.cli.live import show_live
from scaling.store.store import Store
from scaling.study.steps import Plan
from tests.helpers.forgetting import forget
from tests.helpers.step_records import record_of


def test_live_status_ends_with_the_study(small: tuple[Path, Plan, Store]) -> None:
    _, plan, store = small
    training, scoring = plan.steps
    forget(store, training)
    store.write(f"records/{training}.json", record_of(plan, training).to_json())
    shown = io.StringIO()
    console = Console(file=shown, width=160, force_terminal=True)
    watching = threading.Thread(target=show_live, args=(plan, store, console, 0.05), daemon=True)
    watching.start()
    time.sleep(0.3)
    assert watching.is_alive()
    store.write(f"records/{scoring}.json", record_of(plan, scoring).to_json())
    watching.join(10)
    assert not watching.is_alive()
    assert "of $40.00" in shown.getvalue()
