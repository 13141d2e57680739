"""The ready queue as a Ray Tune search algorithm, and the stopper that ends a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaling.catalogue.hardware import Placement
from scaling.cluster.nodes import Capacity
from scaling.cluster.ray_private import free_orphans
from scaling.cluster.session import Session
from scaling.planning.queue import ReadyQueue
from scaling.store.pending import pending_steps
from scaling.store.sessions import settle
from scaling.store.stop import StopRequest
from scaling.store.store import Scan, Store, attempt_name, failure_of
from scaling.study.plan import make_plan
from scaling.study.steps import Plan

# Of steps of a plan: estimated seconds, and placements.
Expected = tuple[Mapping[str, float], Mapping[str, Placement]]


# Seconds between looks at the store for steps that were committed in the middle of a session.
LOOK_SECONDS = 5.0


# Seconds between looks at the cluster for nodes that were lost or came.
NODES_SECONDS = 15.0


def grow(
    queue: ReadyQueue, scan: Scan, expected: Callable[[Plan, Iterable[str]], Expected]
) -> None:
    """Add a re-run, and what starts from it, for every training that was seen to collapse since the
    last look.
    """
    plan = queue.plan
    fresh = {step for step in scan.collapsed - plan.collapsed if step in plan.steps}
    if not fresh or not plan.study.reruns:
        return
    grown = make_plan(plan.study, plan.lock, plan.collapsed | fresh)
    pending = pending_steps(grown, scan)
    queue.extend(grown, pending, *expected(grown, pending))


def drop_replaced(plan: Plan, store: Store, scan: Scan) -> None:
    """Delete the weights of collapsed trainings that nothing planned still starts from, as the
    study says.

    A worker deletes weights by the plan that its session began with, in which the collapsed one had
    more children.
    """
    if plan.study.reruns and plan.study.keep_weights == "none":
        pending = set(pending_steps(plan, scan))
        for step in plan.collapsed & scan.weights & plan.steps.keys():
            # Also a child that is done starts from them, if its own weights are gone and needed
            # again.
            if pending.isdisjoint(plan.children_of(step)):
                store.delete(f"{attempt_name(step, store.record(step).provenance.attempt)}/weights")


def make_stopper(asked: StopRequest) -> Any:
    """Ends running sessions as well, where that was asked for: their worker groups go with the
    driver.
    """
    from ray import tune

    class NowStopper(tune.Stopper):
        def __call__(self, trial_id: str, result: Any) -> bool:
            return False

        def stop_all(self) -> bool:
            return asked.how == "now"

    return NowStopper()


def make_search(
    queue: ReadyQueue,
    store: Store,
    make_session: Callable[[str, tuple[str, ...]], Session],
    expected: Callable[[Plan, Iterable[str]], Expected],
    capacity: Capacity,
    scratch: str,
    asked: StopRequest,
) -> Any:
    """A Tune Searcher that asks the queue. Built here, since importing Tune takes seconds."""
    from ray.tune.search import Searcher

    class QueueSearch(Searcher):
        def __init__(self) -> None:
            super().__init__(metric=None, mode=None)
            self.sessions: dict[str, tuple[str, Session]] = {}
            self.look_at = time.monotonic() + LOOK_SECONDS
            self.nodes_at = time.monotonic() + NODES_SECONDS

        def suggest(self, trial_id: str) -> Any:
            if asked.how:
                return None if queue.running else Searcher.FINISHED
            self.look_around()
            taken = queue.take(time.monotonic())
            if taken is None:
                return Searcher.FINISHED if queue.finished else None
            session = make_session(*taken)
            self.sessions[trial_id] = taken[0], session
            return {"session": session.to_json(), "scratch": scratch}

        def look_around(self) -> None:
            """See steps that were committed in the middle of a session, and nodes that were lost or
            came.
            """
            now = time.monotonic()
            if queue.running and now >= self.look_at:
                scan = store.scan()
                grow(queue, scan, expected)
                drop_replaced(queue.plan, store, scan)
                queue.look(queue.done_in(scan))
                # A listing of a large store takes a while; it must not be what the driver does.
                self.look_at = time.monotonic() + max(LOOK_SECONDS, 20 * (time.monotonic() - now))
            if now >= self.nodes_at:
                free_orphans()
                queue.resize(capacity.nodes())
                self.nodes_at = now + NODES_SECONDS

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            if trial_id not in self.sessions:
                return
            name, session = self.sessions.pop(trial_id)
            scan = store.scan()
            grow(queue, scan, expected)
            drop_replaced(queue.plan, store, scan)
            done = queue.done_in(scan)
            left = [step for step in queue.running[name].steps if not done(step)]
            reason = None
            if error and left:
                noted = failure_of(store, left[0])
                reason = noted[-1] if noted else "its worker group died without a word"
            queue.close(
                name,
                done,
                time.monotonic(),
                reason,
                device_seconds=settle(store, session.id, session.workers),
            )

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the store is the truth."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing: the store is the truth."""

    return QueueSearch()
