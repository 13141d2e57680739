"""`scaling gc` on the store of a study that ran: frees what nothing needs, never what somebody
works on.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from scaling.encoders.engine import join_world
from scaling.planning.placement import placements
from scaling.store.files import StoreError
from scaling.store.garbage import find_garbage, free
from scaling.store.leases import claim, new_owner
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from scaling.training.runner import run_steps
from scaling.training.stage import stage

pytestmark = pytest.mark.torch
DAY_SECONDS = 86_400
STRANGER = "elsewhere.1.abcdef01"


@pytest.fixture
def finished(
    tiny_study: dict[str, Any], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Plan, Store]:
    """A study that ran once and kept all weights, copied for each test; seen with a study file that
    keeps none.
    """
    small = {**tiny_study, "models": ["tiny-1"], "targets": ["applications"], "languages": ["de"]}
    small["recipes"] = {"default": {**small["recipes"]["default"], "epochs": 1}}
    ran = tmp_path_factory.getbasetemp() / "ran-for-garbage"
    if not ran.exists():
        study, store = Study(**small, keep_weights="all"), Store.open(ran)
        plan = make_plan(study, stage(study, store, None, lambda what: None))
        run_steps(plan, store, list(plan.steps), join_world(), placements(plan, None))
    shutil.copytree(ran, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    return make_plan(Study(**small), store.read_lock()), store


def put(store: Store, name: str, *, old: bool) -> None:
    store.write(name, "x" * 100)
    if old:
        then = time.time() - DAY_SECONDS
        assert store.local is not None
        os.utime(store.local / name, (then, then))


def bytes_of(store: Store) -> int:
    return sum(entry.size for entry in store.entries(""))


def names(plan: Plan, store: Store, group: str) -> set[str]:
    return {item.name for item in find_garbage(plan, store) if item.group == group}


def test_frees_what_nothing_needs_and_says_how_much(finished: tuple[Plan, Store]) -> None:
    plan, store = finished
    trained = [step for step in plan.steps.values() if step.action == "train"]
    step = trained[0].id
    put(store, f"attempts/{step}/{STRANGER}/weights/model.safetensors", old=False)
    put(store, f"leases/{step}.json", old=True)
    put(store, f"resume/{step}/7/shard", old=False)
    put(store, f"attempts/{step}/.part-x", old=True)
    put(store, "tokens/000000000000.features", old=True)

    found = find_garbage(plan, store)
    by_group = {
        group: [item for item in found if item.group == group]
        for group in {item.group for item in found}
    }
    assert {group: len(items) for group, items in by_group.items()} == {
        "weights": len(trained),
        "attempts": 1,
        "leases": 1,
        "resume": 1,
        "parts": 1,
        "tokens": 1,
    }
    assert by_group["attempts"][0].num_bytes == by_group["resume"][0].num_bytes == 100
    before, size = store.scan(), bytes_of(store)
    free(found, plan, store)
    after = store.scan()
    assert size - bytes_of(store) == sum(item.num_bytes for item in found if item.group != "parts")
    assert not store.exists("tokens/000000000000.features")
    assert find_garbage(plan, store) == []
    # Nothing that counts is gone: every record is there, and nothing has to run again.
    assert after.done == before.done
    assert pending_steps(plan, after) == []


def test_what_the_killed_had_begun_goes_wherever_it_lies(finished: tuple[Plan, Store]) -> None:
    plan, store = finished
    left = {".part-a", "registered/.part-b", "data/x/.part-c", "clock/host.1.aa", "probe/aa"}
    for name in left:
        put(store, name, old=True)
    for name in ("sessions/.part-d", "clock/host.2.bb", "probe/bb"):
        put(store, name, old=False)
    assert names(plan, store, "parts") == left
    free(find_garbage(plan, store), plan, store)
    assert names(plan, store, "parts") == set()
    assert store.exists("clock/host.2.bb") and store.exists("sessions/.part-d")


def test_keeps_the_weights_that_a_pending_step_starts_from(finished: tuple[Plan, Store]) -> None:
    plan, store = finished
    scored = next(
        step for step in plan.steps.values() if step.action == "eval" and step.parent is not None
    )
    store.delete(f"records/{scored.id}.json")
    assert scored.parent is not None
    kept = f"attempts/{scored.parent}/"
    weights = names(plan, store, "weights")
    assert weights
    assert not any(name.startswith(kept) for name in weights)
    # What is left of the interrupted scoring is of no use to the next one.
    assert {name.split("/")[1] for name in names(plan, store, "attempts")} == {scored.id}


def test_never_touches_a_step_with_a_live_lease(finished: tuple[Plan, Store]) -> None:
    plan, store = finished
    found = find_garbage(plan, store)
    step = next(item.step for item in found if item.group == "weights")
    # Somebody begins to work after the list was made.
    lease = claim(store, step, new_owner())
    assert lease is not None
    freed = free(found, plan, store)
    assert {item.step for item in freed} == {item.step for item in found} - {step}
    assert step in store.scan().weights
    assert all(item.step != step for item in find_garbage(plan, store))
    lease.release()
    assert {item.step for item in find_garbage(plan, store)} == {step}


def test_refuses_where_it_cannot_know_what_is_needed(
    finished: tuple[Plan, Store], tmp_path: Path
) -> None:
    plan, store = finished
    with pytest.raises(StoreError, match="is not staged"):
        find_garbage(make_plan(plan.study), store)
    lease = claim(store, "iii.other-version.s0.000000000000", new_owner())
    assert lease is not None
    with pytest.raises(StoreError, match="another version of the study runs"):
        find_garbage(plan, store)
    lease.release()
