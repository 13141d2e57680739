"""Where every step runs: what the study file says, else the cheapest placement that fits.

A placement belongs to a step, by what its own recipe demands: one task with long sequences and a
small batch must not decide for all others. But steps run in sessions of one gang size, so a model
has a usual one (`usual_gang`), and a step leaves it only where it does not fit or its batch does
not divide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaling.catalogue.hardware import GpuSpec, Placement
from scaling.catalogue.models import ModelSpec
from scaling.planning.fitting import cost, describe, fitting, misfit
from scaling.planning.memory import Demand, demand_of, memory, rows_in_use
from scaling.planning.speed import step_seconds
from scaling.spec import UserError
from scaling.study.flops import NOTHING_STAGED, Sizes
from scaling.study.steps import Plan, Step

# Factor on the time of a task that leaves the usual gang, since it needs worker groups of its own.
LEAVING = 1.25
# How much longer a training may take beside others on its device than alone on it.
SHARED_SLOWER = 1.15


def placements(
    plan: Plan, gpu: GpuSpec | None, sizes: Sizes = NOTHING_STAGED
) -> dict[str, Placement]:
    """Placement by step; UserError if some step fits nowhere.

    What a study file says is not checked here (`check_fit` does). `sizes`: what staging counted;
    before it every training is planned with the whole vocabulary.
    """
    return {
        step: one
        for name in plan.study.models
        for step, one in model_placements(plan, name, gpu, sizes).items()
    }


def model_placements(
    plan: Plan, name: str, gpu: GpuSpec | None, sizes: Sizes = NOTHING_STAGED
) -> dict[str, Placement]:
    """Of the steps of one model, as `placements`.

    Args:
        plan: Whose steps.
        name: The model.
        gpu: The device that is planned for; None for CPUs.
        sizes: What staging counted.
    """
    steps = [step for step in plan.steps.values() if step.model == name]
    given = plan.study.placement_of(name)
    if given is not None:
        return {step.id: given for step in steps}
    if gpu is None:
        # One worker needs stage 0, no sharding. bf16 needs stage 1: only there does DeepSpeed keep
        # fp32 master weights.
        entry = plan.study.model(name).entry
        return {
            step.id: Placement(
                zero_stage=0 if step.recipe.precision == "fp32" else 1,
                packed=not entry.why_not_packed(_longest(plan, step)),
            )
            for step in steps
        }
    wanted = demands(plan, steps, sizes)
    options = _options(plan, wanted, gpu)
    tasks = Counter(
        demand for demand, _ in {(wanted[step.id], _label(step)) for step in _deciding(steps)}
    )
    usual = usual_gang(
        tasks, options, lambda demand, one: cost(plan.study.model(name), demand, one, gpu)
    )
    chosen: dict[str, Placement] = {}
    # Parents come first.
    for step in steps:
        above = chosen.get(step.parent or "") if step.action == "eval" else None
        if above is not None and step.recipe.batch % above.workers == 0:
            # Scoring needs less than training. In its parent's gang it runs in its parent's
            # session, weights at hand.
            chosen[step.id] = above
        else:
            by_gang = options[wanted[step.id]]
            chosen[step.id] = by_gang.get(usual) or next(iter(by_gang.values()))
    return _shared(plan, chosen, wanted, gpu, sizes) if usual == 1 else chosen


def _shared(
    plan: Plan,
    chosen: Mapping[str, Placement],
    wanted: Mapping[str, Demand],
    gpu: GpuSpec,
    sizes: Sizes,
) -> dict[str, Placement]:
    """The placements of a model, those of one worker with as many to a device as pays.

    It pays where launches bound the updates, so that each takes hardly longer (`SHARED_SLOWER`),
    and the memory of all fits. All steps of a model share alike, so that they share sessions.

    Args:
        plan: Whose steps.
        chosen: Placements by step.
        wanted: Demands by step.
        gpu: The device that is planned for.
        sizes: What staging counted.
    """
    one = {step: placement for step, placement in chosen.items() if placement.workers == 1}
    # One of each task: steps that differ in their seeds alone take equally long.
    deciding = list(
        {
            (wanted[step.id], _label(step)): step
            for step in reversed(_deciding(plan.steps[name] for name in one))
        }.values()
    )

    def seconds(sharing: int) -> float:
        return sum(
            step_seconds(
                plan, step, sizes, one[step.id].model_copy(update={"sharing": sharing}), gpu
            )
            for step in deciding
        )

    alone = seconds(1)
    for sharing in (4, 2):
        shared = {
            step: placement.model_copy(update={"sharing": sharing})
            for step, placement in one.items()
        }
        if seconds(sharing) <= SHARED_SLOWER * alone and not any(
            shared[step.id].offload_optimizer
            or misfit(plan.study.model(step.model), wanted[step.id], shared[step.id], gpu)
            for step in deciding
        ):
            return {**chosen, **shared}
    return dict(chosen)


def _longest(plan: Plan, step: Step) -> int:
    """Tokens of the longest text of a step: of several tasks each keeps how long its own may be."""
    members = step.mixture.members
    if len(members) == 1:
        return step.recipe.max_length
    return max(plan.study.recipe(member.task).max_length for member in members)


def usual_gang(
    tasks: Mapping[Demand, int],
    options: Mapping[Demand, Mapping[int, Placement]],
    cost_of: Callable[[Demand, Placement], float],
) -> int:
    """The gang size at which all tasks together lose least against each at its own best.

    Of equals, the smallest. A task that does not fit there runs at its own best, and counts
    `LEAVING`. `tasks` says how many have a demand. It counts tasks and not steps, or the re-run of
    a collapsed training could move the rest of a study. `cost_of`: `cost` of the one model.
    """

    def loss(demand: Demand, gang: int) -> float:
        own = options[demand]
        # The cheapest gang comes first.
        return (
            cost_of(demand, own[gang]) / cost_of(demand, next(iter(own.values())))
            if gang in own
            else LEAVING
        )

    gangs = sorted({gang for demand in tasks for gang in options[demand]})
    return min(
        gangs,
        key=lambda gang: round(
            sum(number * loss(demand, gang) for demand, number in tasks.items()), 6
        ),
    )


def demands(plan: Plan, steps: Iterable[Step], sizes: Sizes = NOTHING_STAGED) -> dict[str, Demand]:
    """By step; of a scoring, as if its recipe trained: that it needs less is not counted on.

    `sizes`: what staging counted.
    """
    study = plan.study
    by_step = {}
    for step in steps:
        members = step.mixture.members
        kinds = (
            {study.task(member.task).kind for member in members} if step.action == "train" else ()
        )
        demand = demand_of(step.recipe, kinds, rows_in_use(study, step, sizes))
        if len(members) > 1:
            demand = Demand(**{**vars(demand), "max_length": _longest(plan, step)})
        by_step[step.id] = demand
    return by_step


def _options(
    plan: Plan, wanted: Mapping[str, Demand], gpu: GpuSpec
) -> dict[Demand, dict[int, Placement]]:
    options: dict[Demand, dict[int, Placement]] = {}
    for name, demand in wanted.items():
        if demand not in options:
            step = plan.steps[name]
            try:
                options[demand] = fitting(
                    plan.study.model(step.model), demand, gpu, plan.study.max_devices
                )
            except UserError as error:
                raise UserError(f"{error} This is for training {_label(step)}.") from error
    return options


def _deciding(steps: Iterable[Step]) -> list[Step]:
    """Trainings, which need most; the scorings where nothing is trained."""
    steps = list(steps)
    return [step for step in steps if step.action == "train"] or steps


def _label(step: Step) -> str:
    return "+".join(member.task for member in step.mixture.members)


def layouts(plan: Plan, name: str, chosen: Mapping[str, Placement]) -> dict[str, tuple[str, ...]]:
    """`4 × ZeRO-3, micro 8 to 16` → the tasks of a model that are placed so, the most first."""
    groups: dict[Any, set[tuple[str, int]]] = {}
    for step in _deciding(step for step in plan.steps.values() if step.model == name):
        placement = chosen[step.id]
        groups.setdefault(placement.model_copy(update={"micro_batch": 1}), set()).add(
            (_label(step), placement.micro_batch)
        )
    shown = {}
    for alike, tasks in sorted(groups.items(), key=lambda item: -len(item[1])):
        least, most = min(micro for _, micro in tasks), max(micro for _, micro in tasks)
        sizes = str(most) if least == most else f"{least} to {most}"
        shown[describe(alike, sizes)] = tuple(sorted({task for task, _ in tasks}))
    return shown


def fullest(
    plan: Plan,
    name: str,
    chosen: Mapping[str, Placement],
    sizes: Sizes = NOTHING_STAGED,
    *,
    gpu: bool = True,
) -> tuple[str, Demand, Placement] | None:
    """(task, demand, placement) of the model's training that fills a device most, if any.

    Args:
        plan: Whose trainings.
        name: The model.
        chosen: Placements by step.
        sizes: What staging counted.
        gpu: Whether the devices are GPUs.
    """
    model = plan.study.model(name)
    steps = _deciding(step for step in plan.steps.values() if step.model == name)
    wanted = demands(plan, steps, sizes)
    ways = {(wanted[step.id], chosen[step.id]): _label(step) for step in reversed(steps)}
    if not ways:
        return None
    demand, placement = max(ways, key=lambda way: memory(model, *way, gpu=gpu).total)
    return ways[demand, placement], demand, placement


def gangs_too_large(
    plan: Plan, chosen: Mapping[str, Placement], devices: int, kind: str, there: str = ""
) -> list[str]:
    """A line for every model that needs more devices at once than the cluster can hold.

    Args:
        plan: What is to run.
        chosen: Placements by step.
        devices: What the cluster can hold at once.
        kind: `GPU` or `CPU`.
        there: What the cluster has, in words; '' leaves it out.
    """
    limit = plan.study.max_devices
    most = min(devices, limit) if limit else devices
    largest: dict[str, int] = {}
    for step, placement in chosen.items():
        model = plan.steps[step].model
        largest[model] = max(largest.get(model, 0), placement.workers)
    return [
        f"{model} needs {gang} {kind}s at once and the cluster can hold {most}"
        + (f" (max_devices is {limit})" if most < devices else "")
        + (f"; there is {there}" if there else "")
        + f"; give `max_devices: {most}`, and the planner stays within it, or a `placement` with"
        " fewer workers"
        for model, gang in largest.items()
        if gang > most
    ]


def check_fit(
    plan: Plan,
    chosen: Mapping[str, Placement],
    gpu: GpuSpec | None,
    sizes: Sizes = NOTHING_STAGED,
) -> None:
    """UserError with the numbers and the way out if a placement of the study file does not fit.

    Args:
        plan: Whose study.
        chosen: Placements by step.
        gpu: The device that is planned for; None for CPUs, which are not checked.
        sizes: What staging counted.
    """
    wrong = [
        problem
        for name in plan.study.models
        if (problem := given_misfit(plan, name, chosen, gpu, sizes))
    ]
    if wrong:
        raise UserError("\n".join(wrong))


def given_misfit(
    plan: Plan,
    name: str,
    chosen: Mapping[str, Placement],
    gpu: GpuSpec | None,
    sizes: Sizes = NOTHING_STAGED,
) -> str:
    """What is wrong with the placement that a study file gives a model; '' if nothing is.

    Args:
        plan: Whose study.
        name: The model; '' as well if the file gives it no placement.
        chosen: Placements by step.
        gpu: The device that is planned for; None for CPUs, which are not checked.
        sizes: What staging counted.
    """
    given, model = plan.study.placement_of(name), plan.study.model(name)
    most = fullest(plan, name, chosen, sizes) if given is not None and gpu is not None else None
    if most is None or gpu is None:
        return ""
    label, demand, placement = most
    wrong = misfit(model, demand, placement, gpu)
    return (
        f"{name}, placed as the study says, {wrong}, for {label}. {_way_out(model, demand, gpu)}"
        if wrong
        else ""
    )


def _way_out(model: ModelSpec, demand: Demand, gpu: GpuSpec) -> str:
    try:
        better = next(iter(fitting(model, demand, gpu).values()))
    except UserError as error:
        return str(error)
    return f"{describe(better)} fits; without a `placement` the planner chooses"
