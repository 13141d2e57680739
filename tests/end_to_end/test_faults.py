"""What can go wrong around a step: notices, diverging losses, full disks, processes that die or
sleep. Real ones.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from scaling.encoders.engine import join_world
from scaling.encoders.world import World
from scaling.planning.placement import placements
from scaling.planning.queue import ReadyQueue
from scaling.store.failures import failures_of
from scaling.store.garbage import find_garbage
from scaling.store.leases import claim, new_owner, working
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.study.steps import Plan
from scaling.training.runner import StepOutcome, run_steps
from tests.helpers.s3_server import Objects, object_store
from tests.helpers.step_records import STEP, record
from tests.helpers.whole_study import science, staged

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield join_world()


@pytest.fixture(scope="module")
def objects() -> Iterator[Objects]:
    pytest.importorskip("moto")
    with object_store() as running:
        yield running


def small(tiny_study: dict[str, Any], **placement: int) -> dict[str, Any]:
    """One training and its scoring."""
    return {
        **tiny_study,
        "models": ["tiny-1"],
        "arms": ["none"],
        "targets": ["applications"],
        "languages": ["de"],
        "placement": {"default": {"workers": 1, "zero_stage": 1, "micro_batch": 8, **placement}},
    }


def run(
    plan: Plan, store: Store, world: World, notice: Callable[[], float | None] = lambda: None
) -> list[StepOutcome]:
    steps = pending_steps(plan, store.scan())
    return list(
        run_steps(plan, store, steps, world, placements(plan, None), notice=notice).values()
    )


@pytest.mark.parametrize(("left", "saved"), [(100.0, True), (5.0, False)])
def test_a_notice_ends_a_training_between_updates(
    tiny_study: dict[str, Any],
    tmp_path: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    left: float,
    saved: bool,
) -> None:
    monkeypatch.setattr("scaling.training.runner.NOTICE_SECONDS", 0.0)
    calm = staged(small(tiny_study), tmp_path / "calm")
    run(*calm, world)
    plan, store = staged(small(tiny_study), tmp_path / "noticed")
    asked: list[int] = []

    def notice() -> float | None:
        asked.append(0)
        return left if len(asked) == 4 else None

    assert run(plan, store, world, notice) == ["preempted", "preempted"]
    step = pending_steps(plan, store.scan())[0]
    assert store.exists(f"resume/{step}/manifest.json") is saved
    note = json.loads(store.read(store.entries(f"failures/{step}")[0].name))
    assert note["kind"] == "preempted"
    assert ("saved" in note["error"]) and ("not saved" in note["error"]) is not saved
    assert not working(store, store.leases().values())
    assert run(plan, store, world) == ["done", "done"]
    assert science(plan, store) == science(*calm)


def test_a_loss_that_diverges_names_its_update_and_its_descendants(
    tiny_study: dict[str, Any],
    tmp_path: Path,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, store = staged(small(tiny_study), tmp_path)
    # A study file is refused such a rate.
    monkeypatch.setattr("scaling.training.loop.learning_rate", lambda *given: 1e30)
    with pytest.raises(RuntimeError, match=r"the loss is (nan|inf) at update \d+ of \d+"):
        run(plan, store, world)
    training, scoring = pending_steps(plan, store.scan())
    reason = str(failures_of(store, training)[-1])
    queue = ReadyQueue(
        plan=plan,
        pending=[training, scoring],
        nodes=[1],
        seconds={training: 1.0, scoring: 1.0},
        placements=placements(plan, None),
    )
    for turn in range(3):
        taken = queue.take(turn * 1e3)
        assert taken is not None
        queue.close(taken[0], lambda step: False, turn * 1e3, reason)
    assert queue.finished
    assert "NonFiniteLoss" in queue.failed[training]
    assert queue.failed[scoring] == f"its parent {training} failed"


def test_a_full_disk_fails_the_step_by_name_and_leaves_nothing(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    plan, store = staged(small(tiny_study), tmp_path)
    training = pending_steps(plan, store.scan())[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(Exception, match="File too large"):
            run(plan, store, world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in str(failures_of(store, training)[-1])
    left = {entry.name.split("/")[0] for entry in store.entries("") if training in entry.name}
    assert left == {"failures", "leases"}
    assert not working(store, store.leases().values())
    assert run(plan, store, world) == ["done", "done"]


def test_an_upload_without_a_record_does_not_count_and_is_collected(
    tiny_study: dict[str, Any], tmp_path: Path, world: World
) -> None:
    calm = staged(small(tiny_study), tmp_path / "calm")
    run(*calm, world)
    plan, store = staged(small(tiny_study), tmp_path / "store")
    step = pending_steps(plan, store.scan())[0]
    [lost] = gang(small(tiny_study), store.uri, [step], tmp_path, 1, "die-before-commit")
    lost.communicate(timeout=120)
    assert lost.returncode == 9
    [attempt] = [name.rstrip("/") for name in store.names(f"attempts/{step}")]
    assert store.exists(f"weights/{step}/{attempt}.json")
    assert store.scan().done == set()
    assert run(plan, store, world) == ["done", "done"]
    assert store.record(step).provenance.attempt != attempt
    assert science(plan, store) == science(*calm)
    assert f"attempts/{step}/{attempt}" in {found.name for found in find_garbage(plan, store)}


def gang(
    content: dict[str, Any], uri: str, steps: list[str], folder: Path, size: int, *how: str
) -> list[subprocess.Popen[str]]:
    """A process group of workers as processes of their own."""
    study = folder / "study.json"
    study.write_text(json.dumps(content))
    rendezvous = folder / f"rendezvous-{time.monotonic_ns()}"
    return [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.helpers.gang_worker",
                study,
                uri,
                ",".join(steps),
                rendezvous,
                str(rank),
                str(size),
                *how,
            ],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for rank in range(size)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_a_gang_that_dies_resumes_from_shards_on_s3(
    tiny_study: dict[str, Any], objects: Objects, tmp_path: Path, stage: int
) -> None:
    content = small(tiny_study, workers=2, zero_stage=stage, micro_batch=4, resume_every=4)
    plan, store = staged(content, objects.uri(f"gang-{stage}"))  # type: ignore[arg-type]
    _, calm = staged(content, tmp_path / "calm")
    steps = pending_steps(plan, store.scan())
    outputs = [
        worker.communicate(timeout=300)[0] for worker in gang(content, calm.uri, steps, tmp_path, 2)
    ]
    assert all('"done"' in output for output in outputs), outputs
    first = gang(content, store.uri, steps, tmp_path, 2)
    deadline = time.monotonic() + 200
    while not store.exists(f"resume/{steps[0]}/manifest.json"):
        assert time.monotonic() < deadline and first[0].poll() is None, first[0].communicate()[0]
        time.sleep(0.02)
    for worker in first:
        worker.kill()
        worker.communicate()
    manifest = json.loads(store.read(f"resume/{steps[0]}/manifest.json"))
    assert len(manifest["by_rank"]) == 2
    assert not set(manifest["by_rank"][0]) & set(manifest["by_rank"][1])
    with objects.counted() as requests:
        outputs = [
            worker.communicate(timeout=300)[0]
            for worker in gang(content, store.uri, steps, tmp_path, 2)
        ]
    assert all('"done"' in output for output in outputs), outputs
    assert any(
        f"/{manifest['at']}.{manifest['token']}/" in line and line.startswith("GET")
        for line in requests
    )
    assert science(plan, store) == science(plan, calm)


SLEEPER = """
import sys
from scaling.store.leases import LeaseLost, claim, new_owner
from scaling.store.store import Store
from tests.helpers.step_records import record
store = Store.open(sys.argv[1])
lease = claim(store, sys.argv[2], new_owner())
print("holds", flush=True)
sys.stdin.readline()
try:
    if sys.argv[3] == "looks":
        lease.beat()
    record = record(sys.argv[2], attempt="late")
    print("committed" if store.commit(record) else "too late", flush=True)
except LeaseLost:
    print("lost", flush=True)
"""


@pytest.mark.parametrize("place", ["local", "s3"])
@pytest.mark.parametrize(("how", "said"), [("looks", "lost"), ("rushes", "too late")])
def test_a_driver_that_slept_through_its_lease_commits_nothing(
    objects: Objects,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    how: str,
    said: str,
) -> None:
    store = Store.open(tmp_path if place == "local" else objects.uri(tmp_path.name))
    step = STEP
    sleeper = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, store.uri, step, how],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert sleeper.stdout is not None
        assert sleeper.stdout.readline() == "holds\n"
        sleeper.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 30
        taken = None
        monkeypatch.setattr("scaling.store.leases.EXPIRY_SECONDS", 2.0)
        while (taken := claim(store, step, new_owner())) is None:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        taken.beat()
        assert store.commit(record(step))
        taken.release()
        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.communicate("go\n", timeout=60)[0] == f"{said}\n"
    finally:
        sleeper.kill()
    assert store.record(step).provenance.attempt == "o"
