"""A part of a study: the cells that are wanted now, and the steps behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scaling.spec import UserError, known
from scaling.study.steps import Plan
from scaling.study.study import Study

KEYS = ("model", "arm", "target", "seed")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Cells by their names; () stands for all of them."""

    models: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole study."""
        return self == WHOLE

    def of(self, plan: Plan) -> Plan:
        """The plan of these cells alone: their steps, and what those start from or are as long as.

        Of a check of learning rates, which has no cells: the trainings of these.
        """
        if self.is_whole:
            return plan
        cells = tuple(
            cell for cell in plan.cells if self._has(cell.model, cell.arm, cell.target, cell.seed)
        )
        wanted = {step for cell in cells for step in (*cell.intermediate, *cell.trained)}
        wanted |= {cell.scored for cell in cells}
        if not plan.cells:
            wanted = {
                step.id
                for step in plan.steps.values()
                if self._has(step.model, step.arm, step.task, step.seed)
            }
        # Parents come first in a plan, and so does what others are as long as.
        for step in reversed(list(plan.steps.values())):
            if step.id in wanted:
                wanted |= {*step.updates_like, *([step.parent] if step.parent else [])}
        steps = {name: step for name, step in plan.steps.items() if name in wanted}
        return replace(plan, cells=cells, steps=steps)

    def _has(self, model: str, arm: str, target: str, seed: int | None) -> bool:
        return (
            (not self.models or model in self.models)
            and (not self.arms or arm in self.arms)
            and (not self.targets or target in self.targets)
            and (not self.seeds or seed in self.seeds)
        )


WHOLE = Part()


def part_of(plan: Plan, only: Iterable[str]) -> Part:
    """The part that `KEY=VALUE` texts name: one of a key's values, for every key that is there.

    UserError with the valid names for a wrong one, and where no step is left.
    """
    valid = _values(plan.study)
    named: dict[str, list[str]] = {key: [] for key in KEYS}
    for text in only:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--only {text}: no KEY=VALUE, such as model={plan.study.models[0]}")
        known(f"key of --only {text}:", key, KEYS)
        known(f"{key} in --only {text}:", value, valid[key])
        named[key].append(value)
    part = Part(
        models=tuple(named["model"]),
        arms=tuple(named["arm"]),
        targets=tuple(named["target"]),
        seeds=tuple(map(int, named["seed"])),
    )
    if not part.of(plan).steps:
        raise UserError(f"--only {' --only '.join(only)}: no cell of {plan.study.name} is all that")
    return part


def _values(study: Study) -> dict[str, list[str]]:
    """By key what it may be."""
    return {
        "model": list(study.models),
        "arm": [arm.name for arm in study.arms],
        "target": list(study.trained_tasks if study.learning_rates else study.targets),
        "seed": [str(seed) for seed in study.all_seeds],
    }
