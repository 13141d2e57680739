"""A study on a simulated clock, driven by the queue that drives Ray Tune: its makespan beforehand.

`simulate(queue)` runs a fresh `ReadyQueue` to its end and says how long it took;
`lower_bound(queue)` is what no schedule can beat. `scaling plan` shows both;
`benchmarks/schedule.py` compares them.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling.planning.queue import ReadyQueue


@dataclass(frozen=True, kw_only=True)
class SpotLosses:
    """Nodes that are taken away and come back."""

    hours_between: float = 12.0
    """Mean time of one node until it is lost; exponential."""
    seconds_away: float = 300.0
    """Until another one takes its place."""
    resume_seconds: float = 600.0
    """Between resume points: a lost step goes on from its last one."""
    notice: bool = False
    """Whether a step saves itself inside the notice, so that nothing of it is lost."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What happened."""

    makespan: float
    """Seconds from start to the last step."""
    busy_device_seconds: float
    """Held by sessions, starts and lost work included."""
    start_device_seconds: float
    sessions: int
    lost_nodes: int
    lost_device_seconds: float
    """Work done twice because its node was lost."""
    takes: int
    """Decisions of the queue."""
    mean_take_seconds: float
    slow_take_seconds: float
    """99.9 % of the decisions are faster."""
    slowest_take_seconds: float
    """CPU time of the queue's own decisions."""


@dataclass
class _SimulatedSession:
    """A session on the simulated clock: one step after another."""

    name: str
    steps: list[str]
    gang: float
    nodes: tuple[int, ...]
    working_since: float = 0.0


@dataclass
class _World:
    queue: ReadyQueue
    actual: Mapping[str, float]
    losses: SpotLosses | None
    ends: dict[str, float]
    now: float = 0.0
    events: list[tuple[float, int, str, object]] = field(default_factory=list)
    sessions: dict[str, _SimulatedSession] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    saved: dict[str, float] = field(default_factory=dict)
    """Step → seconds of it that a resume point holds."""
    takes: list[float] = field(default_factory=list)
    busy: float = 0.0
    started: int = 0
    starts: float = 0.0
    lost_nodes: int = 0
    lost: float = 0.0
    count: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, when: float, what: str, about: object) -> None:
        heapq.heappush(self.events, (when, next(self.count), what, about))

    def hand_out(self) -> None:
        while True:
            before = time.thread_time()
            taken = self.queue.take(self.now)
            self.takes.append(time.thread_time() - before)
            if taken is None:
                return
            name, steps = taken
            running = self.queue.running[name]
            session = _SimulatedSession(name, list(steps), running.gang, tuple(running.held))
            self.sessions[name] = session
            self.started += 1
            self.starts += self.queue.start_seconds * running.gang
            session.working_since = self.now + self.queue.start_seconds
            self.at(session.working_since + self._left(steps[0]), "step", name)

    def _left(self, step: str) -> float:
        return self.actual[step] - self.saved.get(step, 0.0)

    def step_ends(self, name: str) -> None:
        session = self.sessions[name]
        step = session.steps.pop(0)
        self.done.add(step)
        self.ends[step] = self.now
        self.queue.commit(step)
        if session.steps:
            session.working_since = self.now
            self.at(self.now + self._left(session.steps[0]), "step", name)
        else:
            self.end(session)

    def end(self, session: _SimulatedSession) -> None:
        self.busy += (self.now - self.queue.running[session.name].taken_at) * session.gang
        del self.sessions[session.name]
        self.queue.close(session.name, self.done.__contains__, self.now, None)

    def lose(self, node: int) -> None:
        assert self.losses is not None
        self.lost_nodes += 1
        for session in [item for item in self.sessions.values() if node in item.nodes]:
            worked = max(0.0, self.now - session.working_since)
            step = session.steps[0]
            had = self.saved.get(step, 0.0)
            kept = worked if self.losses.notice else worked - worked % self.losses.resume_seconds
            self.saved[step] = had + kept
            self.lost += (worked - kept) * session.gang
            self.events = [
                event
                for event in self.events
                if not (event[2] == "step" and event[3] == session.name)
            ]
            heapq.heapify(self.events)
            self.end(session)
        nodes = list(self.queue.nodes)
        nodes[node] = 0
        self.queue.resize(nodes)
        self.at(self.now + self.losses.seconds_away, "back", node)


def simulate(
    queue: ReadyQueue,
    *,
    actual: Mapping[str, float] | None = None,
    losses: SpotLosses | None = None,
    told: dict[str, float] | None = None,
) -> Simulated:
    """Run a fresh queue to its end.

    RuntimeError if the queue waits although nothing runs: some gang fits nowhere.

    Args:
        queue: That has handed out nothing.
        actual: True seconds by step, where the estimates are wrong.
        losses: Nodes that are lost.
        told: Gets when each step ended.
    """
    ends = {} if told is None else told
    world = _World(queue, queue.seconds if actual is None else actual, losses, ends)
    rng = random.Random(losses.seed if losses else 0)
    sizes = list(queue.nodes)

    def next_loss(node: int) -> None:
        assert losses is not None
        world.at(world.now + rng.expovariate(1 / (losses.hours_between * 3600)), "lose", node)

    if losses:
        for node in range(len(sizes)):
            next_loss(node)
    last = 0.0
    while not queue.finished:
        world.hand_out()
        if queue.finished:
            break
        if not world.sessions and not any(event[2] in ("back", "look") for event in world.events):
            # Steps that are looked at again later need nothing but time.
            world.at(world.now + 10.0, "look", None)
            if world.now > last + 3600:
                raise RuntimeError(
                    f"nothing runs and nothing can start: nodes {sizes}, gangs {set(queue._ready)}"
                )
        world.now, _, what, about = heapq.heappop(world.events)
        if what == "step":
            world.step_ends(str(about))
            last = world.now
        elif what == "lose" and isinstance(about, int):
            world.lose(about)
        elif what == "back" and isinstance(about, int):
            nodes = list(queue.nodes)
            nodes[about] = sizes[about]
            queue.resize(nodes)
            next_loss(about)
    takes = sorted(world.takes)
    return Simulated(
        makespan=last,
        busy_device_seconds=world.busy,
        start_device_seconds=world.starts,
        sessions=world.started,
        lost_nodes=world.lost_nodes,
        lost_device_seconds=world.lost,
        takes=len(takes),
        mean_take_seconds=sum(takes) / len(takes),
        slow_take_seconds=takes[int(0.999 * (len(takes) - 1))],
        slowest_take_seconds=takes[-1],
    )


def lower_bound(queue: ReadyQueue, actual: Mapping[str, float] | None = None) -> float:
    """Seconds that no schedule can beat: the critical path, or all work over all devices.

    The longer of both. Gangs that share a node without filling it (three of three devices on eight)
    leave devices that only smaller gangs can use, so every gang size is also held against the gangs
    that fit at once.
    """
    seconds = queue.seconds if actual is None else actual
    path: dict[str, float] = {}
    work: dict[float, float] = {}
    for step in reversed(queue.pending):
        below = [path[child] for child in queue.plan.children_of(step) if child in path]
        path[step] = seconds[step] + max(below, default=0.0)
        gang = queue.placements[step].devices
        work[gang] = work.get(gang, 0.0) + seconds[step]
    bounds = [
        max(path.values(), default=0.0),
        sum(gang * total for gang, total in work.items()) / queue.slots,
    ]
    for gang, total in work.items():
        fits = sum(int(size // gang) for size in queue.nodes) or sum(queue.nodes) // gang
        bounds.append(total / max(1, min(fits, queue.slots // gang)))
    return max(bounds)
