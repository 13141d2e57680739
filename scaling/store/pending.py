"""What of a plan must run, by a listing of the store."""

from __future__ import annotations

from scaling.store.store import Scan
from scaling.study.steps import Plan


def pending_steps(plan: Plan, scan: Scan) -> list[str]:
    """Steps that must run, parents first: unscored cells, and the trainings whose weights they
    need.
    """
    wanted: set[str] = set()
    for step in reversed(list(plan.steps.values())):
        children = [child for child in plan.children_of(step.id) if child in wanted]
        done = step.id in scan.done
        if step.action == "eval":
            if not done:
                wanted.add(step.id)
        # A training below which nothing is planned is wanted for its record (a check of learning
        # rates).
        elif (
            not done and not (plan.children_of(step.id) and _scored_below(plan, step.id, scan))
        ) or (children and step.id not in scan.weights):
            wanted.add(step.id)
    return [step for step in plan.steps if step in wanted]


def _scored_below(plan: Plan, step: str, scan: Scan) -> bool:
    """Whether every scoring that descends from a training is done, which makes the training itself
    unnecessary.
    """
    below = [step]
    while below:
        for child in plan.children_of(below.pop()):
            if plan.steps[child].action == "eval" and child not in scan.done:
                return False
            below.append(child)
    return True
