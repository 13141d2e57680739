"""A step that passes its limit says so in the store, ends its process, and is done by the next
try.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaling.training.watchdog import EXIT_CODE, FLOOR_SECONDS, limit_of

ROOT = Path(__file__).parents[2]

HANG = """
import sys, time
from scaling.training.watchdog import Limit, Watchdog
watchdog = Watchdog()
limit = Limit(total_seconds=60, silent_seconds=2)
with watchdog.watch(limit, lambda reason: print(dict(reason), flush=True)):
    for _ in range(4):
        time.sleep(1)
        watchdog.alive()
    print("still working", flush=True)
    time.sleep(60)
"""

RUN = """
import json, sys
from scaling.training.watchdog import Limit
from scaling.encoders.engine import join_world
from scaling.study.plan import make_plan
from scaling.store.pending import pending_steps
from scaling.planning.placement import placements
from scaling.training.runner import run_steps
from scaling.store.store import Store
from scaling.study.study import Study
content, folder, seconds = json.loads(sys.argv[1]), sys.argv[2], float(sys.argv[3])
study, store = Study(**content), Store.open(folder)
plan = make_plan(study, store.read_lock())
pending = pending_steps(plan, store.scan())
limits = {step: Limit(total_seconds=seconds) for step in pending}
run_steps(plan, store, pending[:2], join_world(), placements(plan, None), limits)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_limits_grow_with_the_estimate_and_with_tries() -> None:
    assert limit_of(1.0).total_seconds == FLOOR_SECONDS
    assert limit_of(3600.0).total_seconds > 5 * 3600
    assert limit_of(3600.0, tries=2).total_seconds == 4 * limit_of(3600.0).total_seconds


def test_progress_keeps_a_process_alive_and_silence_ends_it() -> None:
    ended = run(HANG)
    assert ended.returncode == EXIT_CODE, ended.stderr
    assert "still working" in ended.stdout
    assert "no progress for" in ended.stdout
    assert "line 11" in ended.stdout, "where it hung"


@pytest.mark.torch
def test_a_step_over_its_limit_is_noted_and_done_by_the_next_try(
    tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from scaling.store.failures import failures_of
    from scaling.store.leases import working
    from scaling.store.store import Store
    from scaling.study.study import Study
    from scaling.training.stage import stage

    study, store = Study(**tiny_study), Store.open(tmp_path)
    stage(study, store, None, lambda what: None)
    ended = run(RUN, json.dumps(tiny_study), str(tmp_path), "0")
    assert ended.returncode == EXIT_CODE, ended.stderr[-2000:]
    scan = store.scan()
    assert not scan.done
    (step,) = scan.failures
    assert "DeadlinePassed: the step has taken" in str(failures_of(store, step)[0])
    held = working(store, store.leases().values())
    assert not held, "a lease that outlives its process keeps the next try waiting"

    ended = run(RUN, json.dumps(tiny_study), str(tmp_path), "600")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert len(store.scan().done) == 2
