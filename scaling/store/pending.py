"""What of a plan must still run, and which trained weights it needs for that."""

from __future__ import annotations

from collections.abc import Callable

from scaling.store.store import Scan
from scaling.study.steps import Plan


def pending_steps(plan: Plan, scan: Scan) -> list[str]:
    """Steps that must run, parents first: those without a record, and trainings they start from."""
    pending: set[str] = set()
    for step in reversed(list(plan.steps)):
        if _must_run(
            step,
            plan,
            scan.done.__contains__,
            scan.weights.__contains__,
            pending.__contains__,
        ):
            pending.add(step)
    return [step for step in plan.steps if step in pending]


def unfinished_steps(plan: Plan, scan: Scan) -> list[str]:
    """Pending steps that nothing stands against, parents first.

    Not those that failed, nor what starts from them: a study with nothing else to do is finished
    for now, and lacks them.
    """
    lost: set[str] = set()
    out = []
    for step in pending_steps(plan, scan):
        if step in scan.failures or plan.steps[step].parent in lost:
            lost.add(step)
        else:
            out.append(step)
    return out


def must_run(
    step: str,
    plan: Plan,
    done: Callable[[str], bool],
    has_weights: Callable[[str], bool],
) -> bool:
    """Whether one step is among the pending ones, for who asks about few steps.

    Args:
        step: A step of the plan.
        plan: What its children are taken from.
        done: Whether a step has a record.
        has_weights: Whether the weights of a finished training are there.
    """
    return _must_run(
        step,
        plan,
        done,
        has_weights,
        lambda child: must_run(child, plan, done, has_weights),
    )


def weights_needed(plan: Plan, step: str, pending: Callable[[str], bool]) -> bool:
    """Whether trained weights must stay: the study keeps them, or a pending step starts from them.

    `pending` says whether a step of the plan must run. Of a step that the plan does not have nobody
    can say which phase it was: its weights stay unless the study keeps none at all.
    """
    if step not in plan.steps:
        return plan.study.keep_weights != "none"
    return plan.study.keeps_weights(plan.steps[step].phase) or any(
        pending(child) for child in plan.children_of(step)
    )


def _must_run(
    step: str,
    plan: Plan,
    done: Callable[[str], bool],
    has_weights: Callable[[str], bool],
    pending: Callable[[str], bool],
) -> bool:
    """The rule for one step; `pending` is its answer for the step's children."""
    # A training too is wanted for its record: it says whether it collapsed. A record that was lost
    # below finished scorings would leave rows that look as if it had not.
    if not done(step):
        return True
    if plan.steps[step].action == "eval" or has_weights(step):
        return False
    return any(pending(child) for child in plan.children_of(step))
