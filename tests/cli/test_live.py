"""The table that follows a study, until the study ends."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from scaling.catalogue.hardware import Placement
from scaling.cli.live import Watcher, progress_line, show_live
from scaling.planning.progress import Seconds, Status
from scaling.planning.queue import ReadyQueue
from scaling.store.leases import Working
from scaling.store.store import Store
from scaling.study.plan import make_plan
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


def test_the_display_leaves_standard_output_to_who_silences_it(
    small: tuple[Path, Plan, Store],
) -> None:
    """Ray prints a banner in the middle of a run; the driver keeps it from the terminal."""
    _, plan, store = small
    shown = io.StringIO()
    queue = ReadyQueue(
        plan=plan,
        pending=list(plan.steps),
        seconds=dict.fromkeys(plan.steps, 1.0),
        placements=dict.fromkeys(plan.steps, Placement(workers=1)),
        nodes=[1],
    )
    watcher = Watcher(queue, store, Console(file=shown, width=120, force_terminal=True))
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent):
        watcher.start()
        # Until the bars are there: by then it would have taken standard output.
        deadline = time.monotonic() + 20
        while "0/2" not in shown.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sys.stdout is silent
        print("Number of trials 9223372036854775807")
    watcher.stop()
    assert "0/2" in shown.getvalue()
    assert "Number of trials" not in shown.getvalue()
    assert "Number of trials" in silent.getvalue()


def status_of(plan: Plan, working: list[str], done: Mapping[tuple[str, str], int]) -> Status:
    total: dict[tuple[str, str], int] = {}
    for step in plan.steps.values():
        total[step.model, step.phase] = total.get((step.model, step.phase), 0) + 1
    return Status(
        total=total,
        done=done,
        collapsed={},
        failures={},
        pending=tuple(plan.steps),
        working=tuple(
            Working(step=step, owner="", age_seconds=0.0, progress={}) for step in working
        ),
        seconds=Seconds(start=0.0, load=0.0, work=0.0, save=0.0),
        eta_seconds=724.0,
        dollars=None,
        num_bytes=0,
    )


def test_the_line_names_size_phase_done_of_total_and_re_runs(
    small: tuple[Path, Plan, Store],
) -> None:
    _, plan, _ = small
    training = next(iter(plan.steps))
    grown = make_plan(plan.study, plan.lock, frozenset([training]))
    training, again = [name for name, step in grown.steps.items() if step.action == "train"]
    scoring = next(name for name, step in grown.steps.items() if step.action == "eval")
    working = status_of(grown, [again, scoring], {("xlm-r-base", "iii"): 1})
    assert progress_line(grown, working) == (
        "1/4 (2 for re-runs), about 12 min 04 s to go "
        " [xlm-r-base phase iii 1/2; xlm-r-base scoring 0/2]"
    )
    both = status_of(plan, list(plan.steps)[:1] * 2, {})
    assert progress_line(plan, both).endswith("[xlm-r-base phase iii 0/1, 2 at work]")
    assert progress_line(plan, status_of(plan, [], {})).endswith("[starting worker groups]")
    between = status_of(plan, [], {("xlm-r-base", "iii"): 1})
    assert progress_line(plan, between).endswith("[between worker groups]")
