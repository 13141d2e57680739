"""Which steps run next: everything ready, longest remaining path first, in sessions.

Where the order costs nothing, what a first look at the results needs comes before that: scores of
weights that nobody trained, then the first seed of every size, then what the gains of later seeds
are over.

Pure Python with the time given from outside, so that the same code drives Ray Tune and a simulation
(`planning.simulate`). A session is what one worker group does: steps of one gang size, one after
another.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scaling.catalogue.hardware import START_SECONDS, Placement
from scaling.planning.backfill import (
    Reservation,
    RunningSession,
    free_devices,
    new_cell,
    nodes_for,
    open_cells,
    reserve,
    spread,
)
from scaling.planning.speed import pace
from scaling.store.store import Scan
from scaling.study.steps import Plan

# A session shorter than this would pay more for starting a worker group than for work.
SESSION_SECONDS = 120.0
# In a longer one start-up is below a hundredth already: more length would only make everybody else
# wait.
LONGEST_SECONDS = 100 * START_SECONDS
# Tries of a step before it counts as failed and takes its descendants with it.
MAX_TRIES = 3
# Different steps that fail in the same way, with none done between them, before the run ends: what
# is wrong is not theirs, and thousands of others would be tried three times each.
SYSTEMATIC = 4
# Seconds until a step that another driver works on is looked at again.
RETRY_SECONDS = 10.0
# Work for each device, against the longest path: from here on the order of paths decides nothing.
WIDE = 4.0
# Ready steps that are looked at for one that fits into a gap.
GAP_LOOKS = 32


# (rank, longest path below, negative), place in the plan, step: the smallest comes first.
_Key = tuple[tuple[int, float], int, str]


@dataclass(kw_only=True)
class ReadyQueue:
    """State of one run.

    `take` hands out sessions, `commit` notes steps that are done, `close` ends a session.
    """

    plan: Plan
    pending: list[str]
    seconds: Mapping[str, float]
    """Estimate by step."""
    placements: Mapping[str, Placement]
    """By step: its workers are the gang that the step needs."""
    nodes: Sequence[int]
    """Devices of each node. A gang runs on one node unless no node is large enough."""
    most: int = 0
    """Devices in use at once; 0 for all."""
    start_seconds: float = START_SECONDS
    price: float = 0.0
    """Dollars per device and second."""
    budget: float | None = None
    """Dollars; None for no limit."""
    spent: float = 0.0
    """Dollars, earlier runs included."""
    running: dict[str, RunningSession] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    """Step → why."""
    unfunded: list[str] = field(default_factory=list)
    """Steps that the budget did not admit."""

    halted: str = ""
    """Why nothing more is handed out; '' while there is no such reason."""

    def __post_init__(self) -> None:
        # What failed since a step was last done, and how.
        self._alike: tuple[str, set[str]] = ("", set())
        self._tries: dict[str, int] = {}
        self._home: dict[str, int] = {}
        self._busy: set[str] = set()
        self._sessions = 0
        self._ready: dict[float, list[_Key]] = {}
        self._later: list[tuple[float, str]] = []
        self._left: dict[float, float] = {}
        # Device seconds of what waits and comes before the rest.
        self._early = 0.0
        self._open: set[str] = set()
        # Settled device seconds by gang: what sessions took, and what they were estimated to take.
        self._took: dict[float, tuple[float, float]] = {}
        self._reload(self.pending)

    def _reload(self, steps: Iterable[str]) -> None:
        """(Re)build the order of everything open."""
        self._open = set(steps)
        self._order = {step: index for index, step in enumerate(self.plan.steps)}
        self._path: dict[str, float] = {}
        # Device seconds to the nearest scoring.
        self._shortest: dict[str, float] = {}
        for step in sorted(self._open, key=self._order.__getitem__, reverse=True):
            below = [child for child in self.plan.children_of(step) if child in self._path]
            self._path[step] = self.seconds[step] + max(
                (self._path[child] for child in below), default=0.0
            )
            self._shortest[step] = self.seconds[step] * self._gang(step) + min(
                (self._shortest[child] + self._start_of(child, step) for child in below),
                default=0.0,
            )
        self._rank = self._ranks()
        self._two_parts = any(rank > 1 for rank in self._rank.values())
        waiting = {step for _, step in self._later}
        self._ready, self._left, self._early = {}, {}, 0.0
        for step in self._open - self._busy:
            gang = self._gang(step)
            self._left.setdefault(gang, 0.0)
            self._count(step, 1)
            if step not in waiting:
                self._offer(step)

    def _ranks(self) -> dict[str, int]:
        """Open step → 0 or 1, the first looks at results; 2, baselines of later seeds; 3, the rest.

        All alike where only the longest paths first keep the devices busy to the end.
        """
        work = sum(self.seconds[step] * self._gang(step) for step in self._open)
        gang = max(map(self._gang, self._open), default=1)
        path = max(self._path.values(), default=0.0)
        if self.slots >= 2 * gang and work < WIDE * path * self.slots:
            return dict.fromkeys(self._open, 0)
        study, ranks = self.plan.study, dict[str, int]()
        baselines = {cell.scored for cell in self.plan.cells if cell.arm == "none"}
        for step in sorted(self._open, key=self._order.__getitem__, reverse=True):
            own = self.plan.steps[step]
            first = own.seed in (None, study.seeds_of(own.model)[0], study.intermediate_seed)
            rank = 1 if own.parent or own.action == "train" else 0
            if not first:
                rank = 2 if step in baselines else 3
            # What they start from comes with them.
            below = [ranks[child] for child in self.plan.children_of(step) if child in ranks]
            ranks[step] = max(1, min([rank, *below])) if own.action == "train" else rank
        return ranks

    def resize(self, nodes: Sequence[int]) -> None:
        """The devices of each node changed: one was lost, or came. What runs is not touched."""
        self.nodes = nodes

    def extend(
        self,
        plan: Plan,
        pending: Iterable[str],
        seconds: Mapping[str, float],
        placements: Mapping[str, Placement],
    ) -> None:
        """Go on with a plan that has grown: new steps join, steps that it no longer has leave.

        Args:
            plan: The grown plan.
            pending: Its steps that must run.
            seconds: Estimates of them.
            placements: Of them; a step that the queue knows keeps the placement that it has.
        """
        # Also what was done before, if its weights are gone and a new step starts from them.
        fresh = {step for step in pending if step not in self._open and step not in self.failed}
        self.pending += sorted(fresh - {*self.pending})
        self.plan, self.seconds = plan, {**self.seconds, **seconds}
        # A step keeps the gang that it is counted in.
        self.placements = {**placements, **self.placements}
        self._reload(step for step in self._open | fresh if step in plan.steps)

    def lost(self, pending: Iterable[str]) -> list[str]:
        """Which pending steps nobody waits for, although a step that is open starts from them.

        Their weights were there and are gone: deleted by hand, or found to be damaged.
        """
        found: set[str] = set()
        for step in reversed(list(pending)):
            if step in self._open or step in self.failed or step in self.unfunded:
                continue
            if any(child in self._open or child in found for child in self.plan.children_of(step)):
                found.add(step)
        return [step for step in pending if step in found]

    # what is there

    @property
    def finished(self) -> bool:
        """Whether nothing is open, or to be handed out, and nothing runs."""
        return (not self._open or bool(self.halted)) and not self.running

    @property
    def slots(self) -> int:
        """Devices that may be in use at once."""
        return min(sum(self.nodes), self.most) if self.most else sum(self.nodes)

    @property
    def free_slots(self) -> int:
        """Devices that no session holds, not even a part of one."""
        used = sum(self.nodes) - sum(free_devices(self.nodes, self.running.values()))
        return self.slots - used

    @property
    def reserved(self) -> float:
        """Dollars of the sessions at work."""
        return sum(session.dollars for session in self.running.values())

    def tries(self, step: str) -> int:
        """Tries of a step in this run that failed."""
        return self._tries.get(step, 0)

    def pace(self, gang: float) -> float:
        """How much longer sessions of a gang size took than was estimated; 1 before any ended."""
        return pace(*self._took.get(gang, (0.0, 0.0)))

    def _gang(self, step: str) -> float:
        return self.placements[step].devices

    def _start_of(self, child: str, parent: str) -> float:
        """Device seconds until a child can run: a worker group's start if its gang differs."""
        gang = self._gang(child)
        return 0.0 if gang == self._gang(parent) else self.start_seconds * gang

    def _is_early(self, step: str) -> bool:
        """Whether a step comes before others for a first look at the results."""
        return self._rank[step] < 2 and self._two_parts

    def _count(self, step: str, sign: int) -> None:
        """Note that a step waits now (1), or does not any more (-1)."""
        gang, seconds = self._gang(step), sign * self.seconds[step]
        self._left[gang] += seconds
        if self._is_early(step):
            self._early += seconds * gang

    def _key(self, step: str) -> _Key:
        return (self._rank[step], -self._path[step]), self._order[step], step

    def _offer(self, step: str) -> None:
        """Put a step in line if nothing keeps it."""
        parent = self.plan.steps[step].parent
        if step in self._open and step not in self._busy and parent not in self._open:
            line, key = self._ready.setdefault(self._gang(step), []), self._key(step)
            at = bisect_left(line, key)
            if at == len(line) or line[at] != key:
                line.insert(at, key)

    def _withdraw(self, step: str) -> None:
        line = self._ready.get(self._gang(step), [])
        at = bisect_left(line, self._key(step))
        if at < len(line) and line[at][2] == step:
            del line[at]

    # handing out

    def take(self, now: float) -> tuple[str, tuple[str, ...]] | None:
        """(session, steps) for free devices, or None.

        Lines of one gang size each, the longest path first. The first line whose gang has no room
        gets a reservation; whoever comes after it may use only what the reservation leaves.
        """
        if self.halted:
            return None
        while self._later and self._later[0][0] <= now:
            self._offer(heapq.heappop(self._later)[1])
        room = free_devices(self.nodes, self.running.values())
        free = self.free_slots
        reservation: Reservation | None = None
        poor = False
        for gang in sorted(
            (gang for gang, line in self._ready.items() if line),
            key=lambda gang: self._ready[gang][0],
        ):
            if gang < 1 and (cells := open_cells(gang, self.running.values())):
                # What is left of a shared device is of use to nobody else.
                steps = self._fill(gang, self._ready[gang], float("inf"))
                if steps:
                    node = self._nearest(steps[0], list(cells))
                    return self._start(gang, steps, {node: gang}, now, cells[node])
                poor = poor or self._too_dear(gang)
                continue
            whole = math.ceil(gang)
            homes = nodes_for(whole, self.nodes, room, reservation) if whole <= free else []
            if homes:
                composed = self._compose(gang, now, room, reservation, homes)
                if composed is not None:
                    return self._start(gang, *composed, now)
                poor = poor or self._too_dear(gang)
            elif reservation is None:
                reservation = reserve(whole, self.nodes, room, self.running.values())
        if poor and not self.running and not self._later:
            self.unfunded += sorted(self._open, key=self._order.__getitem__)
            self._reload(())
        return None

    def _compose(
        self,
        gang: float,
        now: float,
        room: Sequence[int],
        reservation: Reservation | None,
        homes: Sequence[int],
    ) -> tuple[tuple[str, ...], Mapping[int, float]] | None:
        """Steps for one session of a gang, and node → devices of it.

        None if the reservation or the budget forbids all of them.
        """
        line = self._ready[gang]
        if gang > max(self.nodes):
            held = spread(int(gang), room, homes)
            steps = self._fill(gang, line, float("inf"))
            return (steps, held) if steps else None
        open_homes = [node for node in homes if reservation is None or node != reservation.node]
        if reservation is not None and reservation.node in homes and gang <= reservation.spare:
            open_homes.append(reservation.node)
        if open_homes:
            steps = self._fill(gang, line, float("inf"))
            return (steps, {self._nearest(steps[0], open_homes): gang}) if steps else None
        assert reservation is not None
        steps = self._fill(
            gang, line, (reservation.at - now) / self.pace(gang) - self.start_seconds
        )
        return (steps, {reservation.node: gang}) if steps else None

    def _nearest(self, step: str, homes: Sequence[int]) -> int:
        """The node that made the parent, if it has room: its files are there. Else the fullest."""
        home = self._home.get(self.plan.steps[step].parent or "", homes[0])
        return home if home in homes else homes[0]

    def _fill(self, gang: float, line: Sequence[_Key], window: float) -> tuple[str, ...]:
        """Steps for one session of at most `window` seconds; () if none is so short or affordable.

        Guided self-scheduling (Polychronopoulos & Kuck 1987): a session gets an even share of half
        of what is left, so that sessions are long at first and short in the end. Descendants follow
        their parent at once, since its weights are at hand; scorings do so always. A descendant of
        another gang size waits for its own line.
        """
        if window <= 0:
            return ()
        even = sum(size * left for size, left in self._left.items()) / (1.25 * max(1, self.slots))
        if self.slots < 2 * gang:
            # One at a time: a second session would share nothing, and start once more.
            even = LONGEST_SECONDS
        elif self._is_early(line[0][2]):
            # First looks are shared out evenly too: one session would do them one after another.
            even = min(even, self._early / self.slots)
        share = min(window, max(SESSION_SECONDS, min(even, LONGEST_SECONDS)))
        if self.budget is not None and gang not in self._took:
            # Nothing of this size has ended yet: an estimate may be off by factors, so little money
            # follows it.
            share = min(share, SESSION_SECONDS)
        steps: list[str] = []
        chosen: set[str] = set()
        total = 0.0
        purse = self._purse(gang)
        looks = len(line) if window == float("inf") else GAP_LOOKS
        for _, _, root in line[:looks]:
            if total >= share:
                break
            stack = [root]
            while stack:
                step = stack.pop()
                seconds = self.seconds[step]
                if (
                    total + seconds > window
                    or (total >= share and steps)
                    or total + self._shortest[step] / gang > purse
                ):
                    continue
                children = [
                    child
                    for child in self.plan.children_of(step)
                    if child in self._open and self._gang(child) == gang
                ]
                scorings = sorted(
                    (child for child in children if self.plan.steps[child].action == "eval"),
                    key=self.seconds.__getitem__,
                )
                unit = seconds + sum(self.seconds[child] for child in scorings)
                if total + unit > window:
                    continue
                while scorings and total + unit > purse:
                    # The way to some scoring is affordable, as was asked above.
                    unit -= self.seconds[scorings.pop()]
                steps += [step, *scorings]
                chosen.update((step, *scorings))
                total += unit
                stack += sorted(
                    (child for child in children if child not in chosen), key=self._path.__getitem__
                )
        return tuple(steps)

    def _purse(self, gang: float) -> float:
        """Seconds of work that the budget still has for one session of a gang."""
        if self.budget is None or not self.price:
            return float("inf")
        left = self.budget - self.spent - self.reserved
        return left / (self.pace(gang) * gang * self.price) - self.start_seconds

    def _too_dear(self, gang: float) -> bool:
        """Whether the budget reaches to no scoring below any step in this line."""
        purse = self._purse(gang)
        return (
            purse < float("inf")
            and min(self._shortest[step] for _, _, step in self._ready[gang]) / gang > purse
        )

    def _dollars(self, gang: float, seconds: float) -> float:
        return (self.start_seconds + seconds) * self.pace(gang) * gang * self.price

    def _start(
        self,
        gang: float,
        steps: tuple[str, ...],
        held: Mapping[int, float],
        now: float,
        cell: int | None = None,
    ) -> tuple[str, tuple[str, ...]]:
        """Note a session that begins.

        Args:
            gang: Devices.
            steps: What it does.
            held: Node → devices of it.
            now: Seconds on the clock.
            cell: The shared device that it joins; one that nobody had begins to be shared else.
        """
        if gang < 1 and cell is None:
            cell = new_cell(next(iter(held)), self.running.values())
        self._sessions += 1
        name = f"session-{self._sessions:04d}"
        total = sum(self.seconds[step] for step in steps)
        for step in steps:
            self._withdraw(step)
            self._count(step, -1)
        self._busy.update(steps)
        self.running[name] = RunningSession(
            steps=steps,
            gang=gang,
            held=held,
            cell=cell,
            taken_at=now,
            dollars=self._dollars(gang, total),
            ends_at=now + (self.start_seconds + total) * self.pace(gang),
        )
        return name, steps

    # taking back

    def done_in(self, scan: Scan) -> Callable[[str], bool]:
        """Whether a step is done, by a listing of the store.

        A training that open steps start from needs its weights too.
        """

        def done(step: str) -> bool:
            if step not in self.plan.steps:
                # Nobody needs it any more: the plan has grown a re-run in its place.
                return True
            if step not in scan.done:
                return False
            if self.plan.steps[step].action == "eval" or step in scan.weights:
                return True
            return not any(child in self._open for child in self.plan.children_of(step))

        return done

    def look(self, done: Callable[[str], bool]) -> list[str]:
        """Commit every open step that is done, whoever did it; which these were."""
        committed = [
            step
            for step in sorted(self._open, key=self._order.__getitem__, reverse=True)
            if done(step)
        ]
        for step in committed:
            self.commit(step)
        return committed

    def commit(self, step: str) -> None:
        """A step is done, perhaps in the middle of its session: what starts from it may run."""
        if step not in self._open:
            return
        self._alike = ("", set())
        if step not in self._busy:
            self._withdraw(step)
            self._count(step, -1)
        self._open.discard(step)
        for child in self.plan.children_of(step):
            self._offer(child)

    def close(
        self,
        session: str,
        done: Callable[[str], bool],
        now: float,
        error: str | None,
        device_seconds: float | None = None,
        *,
        final: bool = False,
    ) -> None:
        """Take a session back.

        Args:
            session: Its name.
            done: Whether the store has a step.
            now: Seconds on the clock that `take` was given.
            error: Why it failed, which counts as a try of its first step that is not done; None if
                it did not.
            device_seconds: What it cost; all since it was taken if None.
            final: Whether the error would come again, so that the step is not tried once more.
        """
        ended = self.running.pop(session)
        for step in reversed(ended.steps):
            if step in self._open and done(step):
                self.commit(step)
        left = [step for step in ended.steps if step in self._open]
        self._busy.difference_update(ended.steps)
        for step in ended.steps:
            self._home[step] = next(iter(ended.held))
        self._settle(ended, left, now, device_seconds)
        for step in left:
            self._count(step, 1)
        if error is not None and left:
            self._notice(left[0], error)
            self._tries[left[0]] = self._tries.get(left[0], 0) + 1
            if final or self._tries[left[0]] >= MAX_TRIES:
                self._fail(left[0], error)
        for step in left:
            parent = self.plan.steps[step].parent if step in self._open else None
            if step not in self._open or parent in self._open:
                continue
            if error is None:
                heapq.heappush(self._later, (now + RETRY_SECONDS, step))
            else:
                self._offer(step)

    def _notice(self, step: str, error: str) -> None:
        """Halt the run where step after step fails in the same way."""
        # "2026-11-28T10:00:00+00:00  OutOfMemoryError: …"; what died without a word has no kind.
        kind = error.partition("  ")[2].partition(":")[0]
        if not kind:
            return
        before, steps = self._alike
        steps = {*steps, step} if kind == before else {step}
        self._alike = kind, steps
        if len(steps) >= SYSTEMATIC:
            self.halted = f"{len(steps)} steps failed alike and none was done between them: {error}"

    def _settle(
        self, ended: RunningSession, left: Sequence[str], now: float, device_seconds: float | None
    ) -> None:
        took = (now - ended.taken_at) * ended.gang if device_seconds is None else device_seconds
        self.spent += took * self.price
        if not left:
            before = self._took.get(ended.gang, (0.0, 0.0))
            estimated = (
                self.start_seconds + sum(self.seconds[step] for step in ended.steps)
            ) * ended.gang
            self._took[ended.gang] = (before[0] + took, before[1] + estimated)

    def _fail(self, step: str, reason: str) -> None:
        self.failed[step] = reason
        if step not in self._busy:
            self._withdraw(step)
            self._count(step, -1)
        self._open.discard(step)
        for child in self.plan.children_of(step):
            if child in self._open:
                self._fail(child, f"its parent {step} failed")
