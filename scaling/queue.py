"""Which steps run next: everything ready, longest remaining path first, small steps grouped into sessions.

Pure Python with the time given from outside, so that the same code drives Ray Tune and a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scaling.plan import Plan
from scaling.store import Scan

# A session shorter than this would pay more for starting a worker group than for work.
SESSION_SECONDS = 120.0
# Tries of a step before it counts as failed and takes its descendants with it.
MAX_TRIES = 3
# Seconds until a step that another driver works on is looked at again.
RETRY_SECONDS = 10.0


def pending_steps(plan: Plan, scan: Scan) -> list[str]:
    """Steps that must run, parents first: unscored cells, and the trainings whose weights they need."""
    wanted: set[str] = set()
    for step in reversed(list(plan.steps.values())):
        children = [child for child in plan.children_of(step.id) if child in wanted]
        done = step.id in scan.done
        if step.action == "eval":
            if not done:
                wanted.add(step.id)
        elif (not done and not _scored_below(plan, step.id, scan)) or (children and step.id not in scan.weights):
            wanted.add(step.id)
    return [step for step in plan.steps if step in wanted]


def _scored_below(plan: Plan, step: str, scan: Scan) -> bool:
    """Whether every scoring that descends from a training is done, which makes the training itself unnecessary."""
    below = [step]
    while below:
        for child in plan.children_of(below.pop()):
            if plan.steps[child].action == "eval" and child not in scan.done:
                return False
            below.append(child)
    return True


@dataclass
class ReadyQueue:
    """State of one run. `take` hands out sessions, `close` takes them back."""

    plan: Plan
    pending: list[str]
    seconds: Mapping[str, float]
    """Estimate by step."""
    workers: Mapping[str, int]
    """Devices of a step's gang, by model."""
    slots: int
    """Devices that may be in use at once."""
    running: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Step → why."""
    _tries: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)
    _sessions: int = 0

    def __post_init__(self) -> None:
        self._order = {step: index for index, step in enumerate(self.pending)}
        self._open = set(self.pending)
        self._path: dict[str, float] = {}
        for step in reversed(self.pending):
            below = [self._path[child] for child in self.plan.children_of(step) if child in self._path]
            self._path[step] = self.seconds[step] + max(below, default=0.0)

    @property
    def finished(self) -> bool:
        return not self._open and not self.running

    @property
    def free_slots(self) -> int:
        used = sum(self._gang(steps[0]) for steps in self.running.values())
        return self.slots - used

    def tries(self, step: str) -> int:
        """Tries of a step in this run that failed."""
        return self._tries.get(step, 0)

    def _gang(self, step: str) -> int:
        return self.workers[self.plan.steps[step].model]

    def _ready(self, now: float) -> list[str]:
        """Open steps whose parent is not open, longest remaining path first."""
        found = []
        busy = {step for steps in self.running.values() for step in steps}
        for step in self._open:
            parent = self.plan.steps[step].parent
            if step in busy or self._not_before.get(step, 0.0) > now:
                continue
            if parent is None or (parent not in self._open and parent not in busy):
                found.append(step)
        return sorted(found, key=lambda step: (-self._path[step], self._order[step]))

    def take(self, now: float) -> tuple[str, tuple[str, ...]] | None:
        """(session, steps) for free devices, or None.

        Guided self-scheduling (Polychronopoulos & Kuck 1987): a session gets an even share of half of what is
        left, so that sessions are long at first and short in the end. Descendants follow their parent at once:
        its weights are at hand.
        """
        ready = self._ready(now)
        if not ready:
            return None
        gang = self._gang(ready[0])
        # The first in line may need more devices than are free; whoever is smaller waits with it, or it would starve.
        if gang > self.free_slots:
            return None
        busy = {step for steps in self.running.values() for step in steps}
        left = sum(self.seconds[step] for step in self._open - busy if self._gang(step) == gang)
        share = max(SESSION_SECONDS, left / (2 * max(1, self.slots // gang)))
        steps: list[str] = []
        total = 0.0
        for root in ready:
            if self._gang(root) != gang:
                continue
            for step in self._family(root):
                if total >= share and steps:
                    break
                steps.append(step)
                total += self.seconds[step]
            if total >= share:
                break
        self._sessions += 1
        name = f"session-{self._sessions:04d}"
        self.running[name] = tuple(steps)
        return name, tuple(steps)

    def _family(self, root: str) -> list[str]:
        """A step and its open descendants, depth first, the longest branch first."""
        children = [child for child in self.plan.children_of(root) if child in self._open]
        children.sort(key=lambda step: (self.plan.steps[step].action != "eval", -self._path[step]))
        return [root, *(step for child in children for step in self._family(child))]

    def close(self, session: str, done: Callable[[str], bool], now: float, error: str | None) -> None:
        """Take a session back. `done` asks the store; an error is a try of the first step that is not done."""
        left = []
        for step in self.running.pop(session):
            if done(step):
                self._open.discard(step)
            else:
                left.append(step)
        if not left:
            return
        first = left[0]
        if error is None:
            for step in left:
                self._not_before[step] = now + RETRY_SECONDS
            return
        self._tries[first] = self._tries.get(first, 0) + 1
        if self._tries[first] >= MAX_TRIES:
            self._fail(first, error)

    def _fail(self, step: str, reason: str) -> None:
        self.failed[step] = reason
        self._open.discard(step)
        for child in self.plan.children_of(step):
            if child in self._open:
                self._fail(child, f"its parent {step} failed")
