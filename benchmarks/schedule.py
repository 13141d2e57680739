"""Makespan of a simulated full study against its lower bound, by the very queue that drives Ray
Tune.

    python -m benchmarks.schedule [--quick]

`scaling/catalogue/studies/xtreme_r.yaml`: four sizes, all arms, ten targets, five seeds; 8 to 256
GPUs on nodes of eight. Twice: with the gangs that the planner chooses, and with gangs of 1, 1, 4
and 8 devices, which break nodes up more. A worker group takes 60 s to start; true durations differ
from the estimates by a factor that is log-normal with σ 0.2. With losses, every node is lost every
12 h on average (exponential), is away for 5 min, and a step goes on from a resume point at most 10
min old.

Beside our queue: waves by phase (all of phase ii, then all of phase iii, then all scorings, each
with our queue), and plain FIFO (a session per step, in the order of the plan; the first in line
waits for room, and everybody waits with it).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.results_table import write_results
from scaling.catalogue.hardware import Placement, get_gpu
from scaling.planning.backfill import free_devices, nodes_for
from scaling.planning.placement import placements
from scaling.planning.queue import ReadyQueue
from scaling.planning.simulate import Simulated, SpotLosses, lower_bound, simulate
from scaling.planning.speed import step_seconds
from scaling.store.pending import pending_steps
from scaling.store.store import Scan
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import load_study

NOTHING = Scan(done=frozenset(), weights=frozenset(), leases={}, failures={})
START_SECONDS = 60.0
SIGMA = 0.2
LOSSES = SpotLosses(hours_between=12.0, seconds_away=300.0, resume_seconds=600.0)
DEVICES = (8, 16, 32, 64, 128, 256)
WIDE = {"xlm-r-base": 1, "xlm-r-large": 1, "xlm-r-xl": 4, "xlm-r-xxl": 8}


@dataclass(kw_only=True)
class PlainFifo(ReadyQueue):
    """One step at a time, in the order of the plan; nobody overtakes."""

    def take(self, now: float) -> tuple[str, tuple[str, ...]] | None:
        while self._later and self._later[0][0] <= now:
            self._offer(self._later.pop(0)[1])
        waiting = [line_step for line in self._ready.values() for _, _, line_step in line]
        if not waiting:
            return None
        first = min(waiting, key=self._order.__getitem__)
        gang = self._gang(first)
        room = free_devices(self.nodes, self.running.values())
        homes = nodes_for(gang, self.nodes, room, None)
        return self._start(gang, (first,), {homes[0]: gang}, now) if homes else None


@dataclass(frozen=True)
class Case:
    """A study on a cluster."""

    plan: Plan
    placements: Mapping[str, Placement]
    seconds: Mapping[str, float]
    actual: Mapping[str, float]
    devices: int

    def queue(
        self, kind: type[ReadyQueue] = ReadyQueue, pending: Sequence[str] | None = None
    ) -> ReadyQueue:
        return kind(
            plan=self.plan,
            pending=list(self.plan.steps) if pending is None else list(pending),
            seconds=self.seconds,
            placements=self.placements,
            nodes=[8] * (self.devices // 8),
            start_seconds=START_SECONDS,
        )


def case_of(plan: Plan, workers: Mapping[str, int] | None, devices: int) -> Case:
    gpu = get_gpu(plan.study.gpu or "h100-80")
    own = placements(plan, gpu)
    chosen = (
        own
        if workers is None
        else {step.id: Placement(workers=workers[step.model]) for step in plan.steps.values()}
    )
    rng = random.Random(0)
    seconds, actual = {}, {}
    for step in plan.steps.values():
        one = own[step.id]
        if workers is not None:
            one = one.model_copy(update={"sharing": 1})
        planned = step_seconds(plan, step, {}, one, gpu) * one.devices
        seconds[step.id] = planned / chosen[step.id].devices
        actual[step.id] = seconds[step.id] * rng.lognormvariate(0.0, SIGMA)
    return Case(plan, chosen, seconds, actual, devices)


def waves(case: Case) -> float:
    """Makespan with a barrier after each phase."""
    total = 0.0
    for phase in ("ii", "iii", "eval"):
        steps = [step.id for step in case.plan.steps.values() if step.phase == phase]
        total += simulate(case.queue(pending=steps), actual=case.actual).makespan
    return total


def against(bound: float, makespan: float) -> str:
    return f"{makespan / bound:.3f} × {bound / 3600:.1f} h"


def rows_of(name: str, case: Case) -> list[dict[str, Any]]:
    bound = lower_bound(case.queue(), case.actual)
    ours = simulate(case.queue(), actual=case.actual)
    spot = simulate(case.queue(), actual=case.actual, losses=LOSSES)
    fifo = simulate(case.queue(PlainFifo), actual=case.actual)
    where = f"{name}, {case.devices} GPUs"
    start = ours.start_device_seconds / ours.busy_device_seconds
    return [
        _row(
            f"{where}: makespan over the lower bound",
            "<= 1.05",
            against(bound, ours.makespan),
            ours,
            bound,
            1.05,
        ),
        _row(
            f"{where}: with spot losses ({spot.lost_nodes} nodes)",
            "<= 1.15",
            against(bound, spot.makespan),
            spot,
            bound,
            1.15,
        ),
        {
            "figure": f"{where}: share of start-up",
            "target": "shown",
            "value": f"{start:.1%}",
            "met": "-",
        },
        {
            "figure": f"{where}: waves by phase",
            "target": "shown",
            "value": against(bound, waves(case)),
            "met": "-",
        },
        {
            "figure": f"{where}: plain FIFO",
            "target": "shown",
            "value": against(bound, fifo.makespan),
            "met": "-",
        },
    ]


def _row(
    figure: str, target: str, value: str, found: Simulated, bound: float, limit: float
) -> dict[str, Any]:
    return {
        "figure": figure,
        "target": target,
        "value": value,
        "met": found.makespan <= limit * bound,
    }


def decisions() -> list[dict[str, Any]]:
    """CPU time of `take` over a study of more than 10,000 steps."""
    study = load_study("xtreme_r")
    plan = make_plan(study.model_copy(update={"seeds": tuple(range(15))}))
    case = case_of(plan, WIDE, 256)
    pending = pending_steps(plan, NOTHING)
    found = simulate(case.queue(pending=pending), actual=case.actual, losses=LOSSES)
    worst, mean = found.slowest_take_seconds * 1e3, found.mean_take_seconds * 1e3
    return [
        {
            "figure": f"decision at {len(pending):,} steps, mean of {found.takes:,}",
            "target": "<= 1 ms",
            "value": f"{mean:.3f} ms",
            "met": mean <= 1,
        },
        {
            "figure": f"decision at {len(pending):,} steps, 99.9 % of them",
            "target": "<= 1 ms",
            "value": f"{found.slow_take_seconds * 1e3:.2f} ms",
            "met": found.slow_take_seconds <= 1e-3,
        },
        {
            "figure": f"decision at {len(pending):,} steps, slowest",
            "target": "<= 1 ms",
            "value": f"{worst:.2f} ms",
            "met": worst <= 1,
        },
    ]


def main() -> None:
    plan = make_plan(load_study("xtreme_r"))
    quick = "--quick" in sys.argv
    rows = []
    for name, workers in (("planner's gangs", None), ("gangs of 1, 1, 4, 8", WIDE)):
        for devices in DEVICES[:1] if quick else DEVICES:
            rows += rows_of(name, case_of(plan, workers, devices))
    write_results("schedule", rows + decisions())


if __name__ == "__main__":
    main()
