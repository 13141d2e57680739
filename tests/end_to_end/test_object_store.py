"""The store on a real S3-compatible server: requests counted, faults injected, leases raced for, a
study run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("moto")

from scaling.store.files import StoreError
from scaling.store.leases import claim, new_owner, working
from scaling.store.store import Store
from tests.helpers.s3_server import DENIED, SLOW_DOWN, Objects, answer, object_store
from tests.helpers.step_records import STEP, record

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def objects() -> Iterator[Objects]:
    with object_store() as running:
        yield running


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, objects: Objects) -> str:
    return str(tmp_path) if request.param == "local" else objects.uri(tmp_path.name)


def test_a_few_listings_tell_everything(objects: Objects) -> None:
    store = Store.open(objects.uri("listed"))
    store.check_study("s")
    for index in range(30):
        store.write(f"records/s{index}.json", "{}")
        store.write(f"weights/s{index}/a.json", "{}")
        store.write(f"attempts/s{index}/a/weights/model.safetensors", "x")
    with objects.counted() as requests:
        scan = store.scan()
    assert len(scan.done) == len(scan.weights) == 30
    # However many files their attempts have.
    assert len(requests) == 5, requests
    with objects.counted() as requests:
        store.write("logs/s/0.log", "{}")
    assert len(requests) == 1, "a small file is one request, not a multipart upload"


def test_each_act_of_a_step_is_one_request(objects: Objects) -> None:
    store = Store.open(objects.uri("acts"))
    store.check_study("s")
    taken: dict[str, int] = {}
    lease = None

    def claimed() -> None:
        nonlocal lease
        lease = claim(store, STEP, new_owner())

    for name, act in {
        "claim": claimed,
        "beat": lambda: lease.beat(),
        "record": lambda: store.commit(record()),
        "release": lambda: lease.release(done=True),
        "all": store.scan,
        "look": lambda: store.scan(max_age=30.0),
    }.items():
        with objects.counted() as requests:
            act()
        taken[name] = len(requests)
    assert taken == {"claim": 1, "beat": 1, "record": 1, "release": 1, "all": 5, "look": 1}
    assert store.scan().done == {STEP}
    assert store.leases() == {}


@pytest.mark.parametrize(
    "broken", [answer("503 Slow Down", SLOW_DOWN), answer("500 Internal Server Error", b""), b""]
)
def test_passing_trouble_is_waited_out(objects: Objects, broken: bytes) -> None:
    store = Store.open(objects.uri("flaky"))
    for act in (
        lambda: store.write("f", "content"),
        lambda: store.read("f"),
        lambda: store.exists("f"),
        lambda: store.scan(),
        lambda: store.delete("f"),
    ):
        objects.breaking[:] = [broken] * 2
        act()
        assert not objects.breaking
    assert not store.exists("f")


def test_what_cannot_work_is_one_clear_error(objects: Objects) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'nowhere'"):
        Store.open(objects.uri("x", bucket="nowhere"))
    with pytest.raises(StoreError, match="no secret"):
        Store.open("s3://key:secret@bucket/x")
    objects.always = answer("403 Forbidden", DENIED)
    try:
        with pytest.raises(StoreError, match="AccessDenied"):
            Store.open(objects.uri("x"))
    finally:
        objects.always = None
    with pytest.raises(StoreError, match="cannot be used"):
        Store.open(
            "s3://bucket/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A1&scheme=http"
            "&region=us-east-1"
        )


def test_no_name_leads_to_another_prefix_or_bucket(objects: Objects) -> None:
    neighbour, store = Store.open(objects.uri("neighbour")), Store.open(objects.uri("a/store"))
    neighbour.write("file", "keep")
    for name in ("../../neighbour", "../../../other/x", "/neighbour", "models//x", "a\\b"):
        with objects.counted() as requests:
            for act in (store.delete, store.exists, store.entries):
                with pytest.raises(StoreError, match="is no name"):
                    act(name)
            with pytest.raises(StoreError, match="is no name"):
                store.write(f"{name}/file", "bad")
        assert not requests
    assert neighbour.read("file") == b"keep"


def test_the_first_record_stays(uri: str) -> None:
    store = Store.open(uri)
    assert store.commit(record())
    assert not store.commit(record(attempt="late"))
    assert not store.commit(record(attempt="late"), replacing="another attempt")
    assert store.record(STEP) == record()
    assert store.commit(record(attempt="again"), replacing="o")
    assert not store.commit(record(attempt="late"), replacing="o")
    assert store.record(STEP).provenance.replaces == "o"


RACER = """
import sys, time
from scaling.store.leases import claim, new_owner
from scaling.store.store import Store
store, turns = Store.open(sys.argv[1]), int(sys.argv[2])
if sys.argv[3] == "skewed":
    true_time, time.time = time.time, lambda: true_time() + 7200
print("ready", flush=True)
sys.stdin.readline()
for turn in range(turns):
    lease = claim(store, f"s{turn}", new_owner())
    if lease is not None and not store.exists(f"records/s{turn}.json"):
        lease.beat()
        print(turn, bool(store.create(f"records/s{turn}.json", lease.owner)), flush=True)
    if lease is not None:
        lease.release()
"""


def test_two_drivers_race_and_each_step_is_committed_once(uri: str) -> None:
    turns = 12
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, uri, str(turns), clock],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "."},
        )
        for clock in ("true", "skewed")
    ]
    for driver in drivers:
        assert driver.stdout is not None and driver.stdin is not None
        assert driver.stdout.readline() == "ready\n"
    outputs = [driver.communicate("go\n", timeout=60)[0].splitlines() for driver in drivers]
    assert all(driver.returncode == 0 for driver in drivers)
    committed = [line.split()[0] for output in outputs for line in output if line.endswith("True")]
    assert len(committed) == len(set(committed))
    assert not any(line.endswith("False") for output in outputs for line in output)
    store = Store.open(uri)
    assert len(store.scan().done) == len(committed) > 0
    assert not working(store, store.leases().values())


def test_a_clock_that_is_wrong_takes_nothing_over(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(uri)
    held = claim(store, "s", "elsewhere.1.aaaa")
    assert held is not None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert claim(store, "s", "elsewhere.2.bbbb") is None
    assert [found.owner for found in working(store, store.leases().values())] == [
        "elsewhere.1.aaaa"
    ]
    held.beat()
    held.release()


def test_storage_that_is_away_for_a_moment_costs_no_lease(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling.store.leases.BEAT_SECONDS", 0.05)
    store = Store.open(objects.uri("away"))
    lease = claim(store, "s", new_owner())
    assert lease is not None
    beats = len(objects.requests)
    objects.always = answer("403 Forbidden", DENIED)
    try:
        _until(lambda: len(objects.requests) >= beats + 3)
    finally:
        objects.always = None
    back = len(objects.requests)
    _until(lambda: len(objects.requests) >= back + 4)
    lease.beat()
    lease.release()


def _until(true: Any) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.torch
def test_a_study_runs_on_s3_as_on_a_disk(
    tiny_study: dict[str, Any], objects: Objects, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from scaling.encoders.engine import join_world
    from tests.helpers.whole_study import run_all, science, staged

    content = {**tiny_study, "models": ["tiny-2"], "targets": ["applications"], "languages": ["de"]}
    content["placement"] = {
        "default": {"workers": 1, "zero_stage": 2, "micro_batch": 8, "resume_every": 10}
    }
    world = join_world()
    disk = staged(content, tmp_path / "store")
    run_all(*disk, world)
    plan, store = staged(content, objects.uri("study"))  # type: ignore[arg-type]
    assert set(run_all(plan, store, world).values()) == {"done"}
    assert science(plan, store) == science(*disk)
    assert store.entries("resume") == []
    assert not store.scan().weights
    with objects.counted() as requests:
        assert run_all(plan, store, world) == {}
    assert len(requests) == 5, requests
