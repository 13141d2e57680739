"""The ready queue as a Ray Tune search algorithm, and the stopper that ends a run.

Importing Tune takes seconds, so the driver imports this file when it begins to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from ray import tune
from ray.tune.search import Searcher

from scaling.catalogue.hardware import Placement
from scaling.cluster.nodes import Capacity
from scaling.cluster.ray_private import free_orphans
from scaling.cluster.session import SessionOrder, WrongDevice
from scaling.planning.queue import ReadyQueue
from scaling.spec import UserError
from scaling.store.failures import failures_of
from scaling.store.garbage import drop_replaced
from scaling.store.leases import EXPIRY_SECONDS
from scaling.store.pending import pending_steps
from scaling.store.sessions import note_end, session_name
from scaling.store.stop import StopRequest
from scaling.store.store import LOOK_SECONDS, Scan, Store, pause_after
from scaling.study.part import WHOLE, Part
from scaling.study.plan import make_plan
from scaling.study.steps import Plan

T = TypeVar("T")

# Of steps of a plan: estimated seconds, and placements.
Expected = tuple[Mapping[str, float], Mapping[str, Placement]]

# Seconds between looks at the store for steps that were committed in the middle of a session.
STORE_SECONDS = 5.0
# Seconds between looks at the cluster for nodes that were lost or came.
NODES_SECONDS = 15.0


def grow(
    queue: ReadyQueue,
    scan: Scan,
    expected: Callable[[Plan, Iterable[str]], Expected],
    part: Part = WHOLE,
) -> None:
    """Add re-runs, and what starts from them, of trainings that collapsed since the last look.

    And trainings whose weights are gone although an open step starts from them.

    Args:
        queue: Its plan grows.
        scan: A listing of the store.
        expected: Estimated seconds and placements of steps of a plan.
        part: Of the study, that is wanted.
    """
    plan = queue.plan
    fresh = {step for step in scan.collapsed - plan.collapsed if step in plan.steps}
    if fresh and plan.study.reruns:
        plan = make_plan(plan.study, plan.lock, plan.collapsed | fresh)
        pending = pending_steps(part.of(plan), scan)
    else:
        pending = queue.lost(pending_steps(part.of(plan), scan))
    if pending:
        queue.extend(plan, pending, *expected(plan, pending))


def waited_for(look: Callable[[], T]) -> T:
    """What a look at the store says, once the store is there; OSError after a lease's expiry."""
    deadline = time.monotonic() + EXPIRY_SECONDS
    while True:
        try:
            return look()
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1.0)


def nothing_done(step: str) -> bool:
    """What is known of steps while nobody can look: none counts as done."""
    return False


class StopNow(tune.Stopper):
    """Ends running sessions as well, where that is asked for: their workers go with the driver."""

    def __init__(self, asked: StopRequest) -> None:
        self._asked = asked

    def __call__(self, trial_id: str, result: Any) -> bool:
        """Never a single trial: whether this one should end."""
        return False

    def stop_all(self) -> bool:
        """Whether every trial should end now."""
        return self._asked.how == "now"


class QueueSearch(Searcher):
    """Gives Tune one trial per session that the queue hands out, and the queue what came of it."""

    def __init__(
        self,
        queue: ReadyQueue,
        store: Store,
        *,
        make_order: Callable[[str, tuple[str, ...]], SessionOrder],
        expected: Callable[[Plan, Iterable[str]], Expected],
        capacity: Capacity,
        asked: StopRequest,
        scratch: str,
        part: Part = WHOLE,
    ) -> None:
        """A search that has handed out nothing.

        Args:
            queue: The steps to run.
            store: Says what is done.
            make_order: The order for a session's name and steps.
            expected: Estimated seconds and placements of steps of a plan.
            capacity: Says which nodes the cluster has.
            asked: Says whether somebody asked to stop.
            scratch: Folder of this machine for what Ray Train writes.
            part: Of the study, that is wanted.
        """
        super().__init__(metric=None, mode=None)
        self._queue, self._store, self._capacity, self._asked = queue, store, capacity, asked
        self._make_order, self._expected, self._scratch = make_order, expected, scratch
        self._part = part
        self._orders: dict[str, tuple[str, SessionOrder]] = {}
        """Trial → name of its session in the queue, and the session's order."""
        self._look_at = time.monotonic() + STORE_SECONDS
        self._resize_at = time.monotonic() + NODES_SECONDS

    def suggest(self, trial_id: str) -> Any:
        """Config of the next trial; None if nothing can start now, FINISHED after the last."""
        queue = self._queue
        if self._asked.how:
            return None if queue.running else Searcher.FINISHED
        self._look_around()
        taken = queue.take(time.monotonic())
        if taken is None:
            return Searcher.FINISHED if queue.finished else None
        name, steps = taken
        order = self._make_order(name, steps)
        self._orders[trial_id] = name, order
        return {"session": order.to_json(), "scratch": self._scratch}

    def _look_around(self) -> None:
        """See steps that were committed in the middle of a session, and nodes lost or come."""
        now = time.monotonic()
        if self._queue.running and now >= self._look_at:
            # A store that is away for a moment is looked at later, and what is damaged there is
            # told by the step that reads it.
            with suppress(OSError, UserError):
                self._queue.look(self._look(max_age=LOOK_SECONDS))
            after = time.monotonic()
            self._look_at = after + pause_after(after - now, STORE_SECONDS)
        if now >= self._resize_at:
            free_orphans()
            self._queue.resize(self._capacity.nodes())
            self._resize_at = now + NODES_SECONDS

    def _look(self, max_age: float = 0.0) -> Callable[[str], bool]:
        """Follow what a look at the store shows; says of a step whether it is done."""
        scan = self._store.scan(max_age=max_age)
        grow(self._queue, scan, self._expected, self._part)
        drop_replaced(self._queue.plan, self._store, scan)
        return self._queue.done_in(scan)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Take back the session of a trial that ended, well or with an error."""
        if trial_id not in self._orders:
            return
        name, order = self._orders.pop(trial_id)
        reason, final, cost = None, False, None
        try:
            done = waited_for(self._look)
            reason, final = self._reason(name, order, done) if error else (None, False)
            cost = note_end(self._store, order.id, order.workers)
        except (OSError, UserError) as failure:
            # One try of one step, not the end of all sessions.
            reason = f"the store {self._store.uri} cannot be used: {failure}"
            done = nothing_done
        self._queue.close(name, done, time.monotonic(), reason, device_seconds=cost, final=final)

    def _reason(
        self, name: str, order: SessionOrder, done: Callable[[str], bool]
    ) -> tuple[str | None, bool]:
        """Why a session failed, and whether it would fail again; None if all of it is done."""
        left = [step for step in self._queue.running[name].steps if not done(step)]
        if not left:
            return None, False
        began = self._store.written_at(session_name(order.id))
        failures = failures_of(self._store, left[0])
        reason = str(failures[-1]) if failures else "its worker group died without a word"
        if WrongDevice.__name__ in reason:
            self._queue.halted = reason
        # Of the end of another session nobody knows whether this one's was the same.
        return reason, any(one.is_final and began and one.noted_at >= began for one in failures)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""
