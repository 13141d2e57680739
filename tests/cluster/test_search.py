"""What the driver makes of a store that fails while sessions end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from ray.tune.search import Searcher

from scaling.catalogue.hardware import Placement
from scaling.cluster import search
from scaling.cluster.nodes import Capacity
from scaling.cluster.search import QueueSearch
from scaling.cluster.session import SessionOrder
from scaling.planning.queue import ReadyQueue
from scaling.store.sessions import note_start, session_name
from scaling.store.stop import StopRequest
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.step_records import record_of
from tests.helpers.studies import BASE, LOCK

pytestmark = pytest.mark.ray


@pytest.fixture
def plan() -> Plan:
    return make_plan(Study(**{**BASE, "arms": ["none"], "targets": ["xnli"], "seeds": [0]}), LOCK)


def searching(plan: Plan, store: Store) -> QueueSearch:
    """A search with the only session of a plan handed out as the trial `t`."""
    store.check_study(plan.study.name)
    placement = Placement(workers=1, zero_stage=1, micro_batch=8)
    queue = ReadyQueue(
        plan=plan,
        pending=list(plan.steps),
        nodes=[1],
        seconds=dict.fromkeys(plan.steps, 1.0),
        placements=dict.fromkeys(plan.steps, placement),
    )

    def order(name: str, steps: tuple[str, ...]) -> SessionOrder:
        return SessionOrder(
            id=name,
            study="",
            store=store.uri,
            steps=steps,
            placements=dict.fromkeys(steps, placement),
            workers=1,
            use_gpu=False,
            gpu=None,
            resources={},
            one_node=False,
            collapsed=frozenset(),
            limits={},
            silent={},
            stop="",
        )

    found = QueueSearch(
        queue,
        store,
        make_order=order,
        expected=lambda plan, steps: ({}, {}),
        capacity=Capacity(kind="CPU", most=1),
        asked=StopRequest(store),
        scratch="",
    )
    given: Any = found.suggest("t")
    assert given["session"]["steps"]
    session = given["session"]["id"]
    note_start(store, session, asked_at=0.0, workers=1, steps=given["session"]["steps"])
    return found


def test_a_store_that_is_away_is_waited_for(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store")
    ended = searching(plan, store)
    for step in plan.steps:
        store.commit(record_of(plan, step))
    (tmp_path / "store").rename(tmp_path / "away")

    def comes_back(seconds: float) -> None:
        (tmp_path / "away").rename(tmp_path / "store")

    monkeypatch.setattr(search.time, "sleep", comes_back)
    ended.on_trial_complete("t")
    assert ended._queue.finished and not ended._queue.failed


@pytest.mark.parametrize("fault", ["gone", "session", "record"])
def test_an_error_of_the_store_is_one_try_of_one_step(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    store = Store.open(tmp_path / "store")
    ended = searching(plan, store)
    step = next(iter(plan.steps))
    monkeypatch.setattr(search, "EXPIRY_SECONDS", 0.0)
    if fault == "gone":
        (tmp_path / "store").rename(tmp_path / "away")
    elif fault == "session":
        (session,) = (tmp_path / "store" / "sessions").iterdir()
        session.write_text("{")
    else:
        # Which a listing shows, and a look at its record refuses.
        monkeypatch.setattr(search, "drop_replaced", lambda *given: store.record(step))
        store.write(f"records/{step}.json", "{")
    for tries in (1, 2, 3):
        ended.on_trial_complete("t", error=True)
        assert not ended._queue.running
        assert ended._queue.tries(step) == tries
        given: Any = ended.suggest("t")
        assert (given == Searcher.FINISHED) is (tries == 3)
        if fault == "session" and tries < 3:
            store.write(session_name(given["session"]["id"]), "{")
    assert store.uri in ended._queue.failed[step]
