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
from scaling.store.leases import (
    Lease,
    LeaseLost,
    claim,
    let_go,
    new_owner,
    outlasted,
    pass_on_silence,
    silent_leases,
    working,
)
from scaling.store.local_files import LocalFiles
from scaling.store.paths import StepFolder
from scaling.store.store import Store
from tests.helpers.step_records import STEP


def test_lease_excludes_and_releases(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    first = claim(store, STEP, new_owner())
    assert first is not None
    assert claim(store, STEP, new_owner()) is None
    first.release()
    second = claim(store, STEP, new_owner())
    assert second is not None
    assert second.token == first.token + 1
    # Of a step that is done nothing stays.
    second.release(done=True)
    assert store.leases() == {}


def test_many_claim_at_once_and_exactly_one_wins(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for turn in range(20):
        step = f"{STEP}-{turn}"
        if turn % 2:
            # One that was let go, which has to be replaced.
            before = claim(store, step, new_owner())
            assert before is not None
            before.release()
        held: list[Lease] = []
        start = threading.Barrier(6)

        def go(
            step: str = step, held: list[Lease] = held, start: threading.Barrier = start
        ) -> None:
            start.wait()
            found = claim(store, step, new_owner())
            if found is not None:
                held.append(found)

        threads = [threading.Thread(target=go) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(held) == 1
        held[0].release()


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
    assert store.leases()[STEP]
    assert not working(store, store.leases().values())
    taken = claim(store, STEP, new_owner())
    assert taken is not None
    taken.release()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease_module, "EXPIRY_SECONDS", 0.4)


def paused(store: Store) -> Lease:
    """A lease of another machine whose process is paused."""
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    lease._stop.set()
    lease._heart.join()
    return lease


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_silent_lease_is_taken_over_and_its_owner_told(tmp_path: Path, hours: int) -> None:
    store = Store.open(tmp_path)
    stale = paused(store)
    # Whatever the clock of the store or of the holder says.
    at = time.time() + 3600 * hours
    os.utime(tmp_path / stale.name, (at, at))
    stale.tag = store.look(stale.name).tag
    other = Store.open(tmp_path)
    assert claim(other, STEP, "elsewhere.2.bbbb") is None
    assert outlasted(other, [STEP, "nobody-has-it"]) == {STEP}
    fresh = claim(other, STEP, "elsewhere.2.bbbb")
    assert fresh is not None and fresh.token == 2
    with pytest.raises(LeaseLost, match=STEP):
        stale.beat()
    # Nor may it free what is no longer its own.
    stale.release()
    time.sleep(0.3)
    fresh.check()
    fresh.release()
    assert claim(store, STEP, "elsewhere.3.cccc").token == 3


@pytest.mark.usefixtures("hasty")
def test_what_a_driver_watched_its_workers_need_not_watch(tmp_path: Path) -> None:
    driver, worker = Store.open(tmp_path), Store.open(tmp_path)
    stale = paused(driver)
    driver.leases()
    time.sleep(0.5)
    silent = silent_leases(driver, [STEP, "another"])
    assert silent == {STEP: stale.tag}
    pass_on_silence(worker, silent)
    # It has shown life since.
    stale.beat()
    assert claim(worker, STEP, "elsewhere.2.bbbb") is None
    driver.leases()
    time.sleep(0.5)
    pass_on_silence(worker, silent_leases(driver, [STEP]))
    assert claim(worker, STEP, "elsewhere.2.bbbb") is not None


@pytest.mark.usefixtures("hasty")
def test_a_living_holder_is_not_outlasted(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    assert outlasted(store, [STEP]) == set()
    time.sleep(1.0)
    assert claim(store, STEP, "elsewhere.2.bbbb") is None
    lease.check()
    lease.release()


@pytest.mark.usefixtures("hasty")
def test_a_beating_lease_notices_that_it_was_lost(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    store.delete(lease.name)
    deadline = time.monotonic() + 5
    with pytest.raises(LeaseLost):
        while time.monotonic() < deadline:
            lease.check()
            time.sleep(0.02)


@pytest.mark.usefixtures("hasty")
def test_a_store_that_is_away_for_longer_than_the_expiry_loses_the_lease(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    store.check_study("s")
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    (tmp_path / "store").rename(tmp_path / "away")
    time.sleep(0.2)
    lease.check()
    deadline = time.monotonic() + 5
    with pytest.raises(LeaseLost):
        while time.monotonic() < deadline:
            lease.check()
            time.sleep(0.02)


def test_a_lease_that_nobody_can_read_is_watched_like_any_other(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write(f"leases/{STEP}.json", "{")
    assert claim(store, STEP, new_owner()) is None
    [shown] = working(store, store.leases().values())
    assert shown.owner == "?"
    pass_on_silence(store, {STEP: store.leases()[STEP].tag})
    taken = Store.open(tmp_path)
    pass_on_silence(taken, {STEP: store.leases()[STEP].tag})
    assert claim(taken, STEP, new_owner()) is not None


def test_status_needs_no_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path)
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    lease.progress.update(done=3, total=10)
    lease.beat()
    for name in ("write", "create", "replace", "delete"):
        monkeypatch.setattr(LocalFiles, name, None)
    [shown] = working(store, store.leases().values())
    assert (shown.step, shown.owner, shown.progress) == (
        STEP,
        "elsewhere.1.aaaa",
        {"done": 3, "total": 10},
    )
    assert shown.age_seconds < 30
    monkeypatch.undo()
    # Long ago, by all that anybody can know.
    then = time.time() - 300
    os.utime(tmp_path / lease.name, (then, then))
    assert working(store, store.leases().values()) == []


def test_a_process_that_ends_itself_lets_its_own_step_go(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    lease = claim(store, STEP, "elsewhere.1.aaaa")
    assert lease is not None
    let_go(store, STEP, "elsewhere.2.bbbb")
    lease.beat()
    let_go(store, STEP, "elsewhere.1.aaaa")
    with pytest.raises(LeaseLost):
        lease.beat()
    assert claim(store, STEP, "elsewhere.2.bbbb") is not None
    let_go(store, "nobody-has-it", "elsewhere.1.aaaa")


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
    store.write(StepFolder(STEP).lease, said)
    (found,) = working(store, store.leases().values())
    assert found.progress == {}
    store.write(StepFolder(STEP).lease, '{"progress": {"done": 3, "total": 10}}')
    (found,) = working(store, store.leases().values())
    assert found.progress == {"done": 3, "total": 10}
