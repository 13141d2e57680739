"""One works on a step at a time; the dead and the expired are taken over."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scaling.store import leases as lease_module
from scaling.store.leases import LeaseLost, claim, new_owner, working
from scaling.store.paths import StepFolder
from scaling.store.store import Store
from tests.helpers.step_records import STEP


def test_lease_excludes_and_releases(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = claim(store, STEP, new_owner())
    assert first is not None
    assert claim(store, STEP, new_owner(), tries=2) is None
    first.release()
    second = claim(store, STEP, new_owner())
    assert second is not None
    second.release()


def test_many_claim_at_once_and_at_most_one_wins(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for turn in range(15):
        step = f"{STEP}-{turn}"
        held: list[object] = []
        start = threading.Barrier(6)

        def go(
            step: str = step, held: list[object] = held, start: threading.Barrier = start
        ) -> None:
            start.wait()
            found = claim(store, step, new_owner(), tries=4)
            if found is not None:
                held.append(found)

        threads = [threading.Thread(target=go) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) <= 1
        for lease in held:
            lease.release()  # type: ignore[attr-defined]


def test_the_dead_are_taken_over_at_once(tmp_path: Path) -> None:
    code = (
        "import os; from scaling.store.leases import claim, new_owner;"
        " from scaling.store.store import Store;"
        f" claim(Store.open({str(tmp_path)!r}), {STEP!r}, new_owner()); os._exit(0)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    store = Store.open(tmp_path)
    assert store.scan().leases[STEP]
    assert not working(store, store.scan().leases)
    taken = claim(store, STEP, new_owner())
    assert taken is not None
    taken.release()


def test_an_expired_lease_is_taken_over_and_its_owner_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.05)
    store = Store.open(tmp_path)
    stale = claim(store, STEP, "elsewhere.1.aaaa")
    assert stale is not None
    stale._stop.set()  # its heart stops, as if the machine were paused
    time.sleep(0.1)
    old = time.time() - 3600
    os.utime(tmp_path / stale.name, (old, old))
    fresh = claim(store, STEP, "elsewhere.2.bbbb")
    assert fresh is not None
    with pytest.raises(LeaseLost, match=STEP):
        stale.still_ours()
    fresh.still_ours()
    fresh.release()


def test_a_beating_lease_notices_that_it_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.05)
    store = Store.open(tmp_path)
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    store.delete(lease.name)
    deadline = time.monotonic() + 5
    with pytest.raises(LeaseLost):
        while time.monotonic() < deadline:
            lease.check()
            time.sleep(0.02)


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        "{",
        "null",
        '{"progress": 3}',
        '{"progress": {"done": "x", "total": 10}}',
        '{"progress": {"done": 3}}',
        '{"progress": {"done": NaN, "total": 10}}',
        '{"progress": {"done": 3, "total": Infinity}}',
        '{"progress": {"done": true, "total": 10}}',
        '{"progress": {"done": 30, "total": 10}}',
    ],
)
def test_a_lease_that_says_something_else_has_no_progress(tmp_path: Path, said: str) -> None:
    store = Store.open(tmp_path)
    store.write(StepFolder(STEP).lease("elsewhere.1.aaaa"), said)
    (found,) = working(store, store.scan().leases)
    assert found.progress == {}
    store.write(
        StepFolder(STEP).lease("elsewhere.1.aaaa"), '{"progress": {"done": 3, "total": 10}}'
    )
    (found,) = working(store, store.scan().leases)
    assert found.progress == {"done": 3, "total": 10}
