"""A scoring that ends in the middle: by an exception here, by a signal in a process of its own.

Run as `python -m tests.helpers.dying_score STUDY STORE STEP PORTIONS`: it kills itself with SIGKILL
as soon as so many portions are kept.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from scaling.store.store import Store

die_by_signal = -signal.SIGKILL
"""What such a process returns."""


class Died(Exception):
    """The end of a scoring."""


@dataclass
class Alive:
    """Called whenever a scoring makes progress; ends it once so many portions are kept."""

    store: Store
    step: str
    portions: int
    kill: bool = False
    calls: int = 0

    def __call__(self) -> None:
        self.calls += 1
        there = self.store.names(f"resume/{self.step}")
        if sum(name.endswith(".json") for name in there) >= self.portions:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Died(self.step)


def main() -> None:
    from scaling.encoders.engine import join_world
    from scaling.planning.placement import placements
    from scaling.store.cache import open_cache
    from scaling.store.leases import claim, new_owner
    from scaling.study.plan import make_plan
    from scaling.study.study import load_study
    from scaling.training import portions
    from scaling.training.actions import score
    from scaling.training.inputs import Context

    portions.LEAST_BATCHES = 0
    path, folder, step, number = sys.argv[1:]
    store = Store.open(Path(folder))
    plan = make_plan(load_study(path), store.read_lock())
    owner = new_owner()
    lease = claim(store, step, owner)
    with open_cache() as cache:
        context = Context(
            plan=plan,
            store=store,
            world=join_world(),
            placement=placements(plan, None)[step],
            cache=cache,
            owner=owner,
            alive=Alive(store=store, step=step, portions=int(number), kill=True),
        )
        score(plan.steps[step], context, lease)


if __name__ == "__main__":
    main()
