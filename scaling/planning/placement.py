"""Where every step runs: what the study file says, else the cheapest that fits, with few gang sizes
per model.

A placement belongs to a step, by what its own recipe demands: one task with long sequences and a
small batch must not decide for all others. But steps run in sessions of one gang size, so a model
has a usual one (`usual_gang`), and a step leaves it only where it does not fit or its batch does
not divide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from scaling.catalogue.hardware import GIB, GpuSpec, Placement
from scaling.catalogue.models import ModelSpec
from scaling.planning.memory import USABLE, Demand, demand_of, memory
from scaling.spec import UserError
from scaling.study.steps import Plan, Step

# A task that leaves the usual gang needs worker groups of its own: it counts as if it took so many
# times as long.
LEAVING = 1.25


def placements(plan: Plan, gpu: GpuSpec | None) -> dict[str, Placement]:
    """By step. ValueError if some step fits nowhere; what a study file says is not checked
    (`check_fit` does).
    """
    return {
        step: one
        for name in plan.study.models
        for step, one in model_placements(plan, name, gpu).items()
    }


def model_placements(plan: Plan, name: str, gpu: GpuSpec | None) -> dict[str, Placement]:
    """Of the steps of one model, as `placements`."""
    steps = [step for step in plan.steps.values() if step.model == name]
    given = plan.study.placement_of(name)
    if given is not None:
        return {step.id: given for step in steps}
    if gpu is None:
        # Sharding over one worker is copying for nothing; under bf16 it brings the master weights.
        return {
            step.id: Placement(zero_stage=0 if step.recipe.precision == "fp32" else 1)
            for step in steps
        }
    wanted = demands(plan, steps)
    options = _options(plan, wanted, gpu)
    tasks = Counter(
        demand for demand, _ in {(wanted[step.id], _label(step)) for step in _deciding(steps)}
    )
    usual = usual_gang(tasks, options)
    found: dict[str, Placement] = {}
    # Parents come first.
    for step in steps:
        above = found.get(step.parent or "") if step.action == "eval" else None
        if above is not None and step.recipe.batch % above.workers == 0:
            # Scoring needs less than training. In its parent's gang it runs in its parent's
            # session, weights at hand.
            found[step.id] = above
        else:
            own = options[wanted[step.id]]
            found[step.id] = own.get(usual) or next(iter(own.values()))
    return found


def usual_gang(
    tasks: Mapping[Demand, int], options: Mapping[Demand, Mapping[int, Placement]]
) -> int:
    """The gang size at which all tasks together lose least against each at its own best; of equals,
    the smallest.

    A task that does not fit there runs at its own best, and counts `LEAVING`. `tasks`: how many
    have a demand; tasks and not steps, or the re-run of a collapsed training could move the rest of
    a study.
    """

    def loss(demand: Demand, gang: int) -> float:
        own = options[demand]
        # The cheapest gang comes first.
        return (
            cost(demand, own[gang]) / cost(demand, next(iter(own.values())))
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


def demands(plan: Plan, steps: Iterable[Step]) -> dict[str, Demand]:
    """By step; of a scoring, as if its recipe trained: that it needs less is not counted on."""
    study = plan.study
    found = {}
    for step in steps:
        members = step.mixture.members
        kinds = (
            {study.task(member.task).kind for member in members} if step.action == "train" else ()
        )
        demand = demand_of(step.recipe, kinds)
        if len(members) > 1:
            # Of several tasks each keeps how long its own text may be.
            longest = max(study.recipe(member.task).max_length for member in members)
            demand = Demand(**{**vars(demand), "max_length": longest})
        found[step.id] = demand
    return found


def _options(
    plan: Plan, wanted: Mapping[str, Demand], gpu: GpuSpec
) -> dict[Demand, dict[int, Placement]]:
    found: dict[Demand, dict[int, Placement]] = {}
    for name, demand in wanted.items():
        if demand not in found:
            step = plan.steps[name]
            try:
                found[demand] = fitting(
                    plan.study.model(step.model), demand, gpu, plan.study.max_devices
                )
            except UserError as error:
                raise UserError(f"{error} This is for training {_label(step)}.") from error
    return found


def _deciding(steps: Iterable[Step]) -> list[Step]:
    """Trainings, which need most; the scorings where nothing is trained."""
    steps = list(steps)
    return [step for step in steps if step.action == "train"] or steps


def _label(step: Step) -> str:
    return "+".join(member.task for member in step.mixture.members)


def layouts(plan: Plan, name: str, chosen: Mapping[str, Placement]) -> dict[str, tuple[str, ...]]:
    """`4 × ZeRO-3, micro 8 to 16` → the tasks that are placed so, for one model; the most tasks
    first.
    """
    groups: dict[Any, set[tuple[str, int]]] = {}
    for step in _deciding(step for step in plan.steps.values() if step.model == name):
        one = chosen[step.id]
        groups.setdefault(one.model_copy(update={"micro_batch": 1}), set()).add(
            (_label(step), one.micro_batch)
        )
    found = {}
    for alike, tasks in sorted(groups.items(), key=lambda item: -len(item[1])):
        least, most = min(micro for _, micro in tasks), max(micro for _, micro in tasks)
        sizes = str(most) if least == most else f"{least} to {most}"
        found[describe(alike, sizes)] = tuple(sorted({task for task, _ in tasks}))
    return found


def fullest(
    plan: Plan, name: str, chosen: Mapping[str, Placement], *, gpu: bool = True
) -> tuple[str, Demand, Placement] | None:
    """(task, demand, placement) of the model's training that fills a device most; None without
    steps.
    """
    model = plan.study.model(name)
    steps = _deciding(step for step in plan.steps.values() if step.model == name)
    wanted = demands(plan, steps)
    ways = {(wanted[step.id], chosen[step.id]): _label(step) for step in reversed(steps)}
    if not ways:
        return None
    demand, placement = max(ways, key=lambda way: memory(model, *way, gpu=gpu).total)
    return ways[demand, placement], demand, placement


def largest_gangs(plan: Plan, chosen: Mapping[str, Placement]) -> dict[str, int]:
    """Model → most workers that a step of it needs."""
    found: dict[str, int] = {}
    for step, placement in chosen.items():
        model = plan.steps[step].model
        found[model] = max(found.get(model, 0), placement.workers)
    return found


def fewer(most: int) -> str:
    """What to do where a gang is larger than the cluster."""
    return (
        f"give `max_devices: {most}`, and the planner stays within it, or a `placement` with fewer"
        " workers"
    )


def check_fit(plan: Plan, chosen: Mapping[str, Placement], gpu: GpuSpec | None) -> None:
    """ValueError with the numbers and the way out if a placement of the study file does not fit."""
    wrong = [
        problem for name in plan.study.models if (problem := given_misfit(plan, name, chosen, gpu))
    ]
    if wrong:
        raise UserError("\n".join(wrong))


def given_misfit(
    plan: Plan, name: str, chosen: Mapping[str, Placement], gpu: GpuSpec | None
) -> str:
    """What is wrong with the placement that the study file gives a model; '' if nothing is, or it
    gives none.
    """
    given, model = plan.study.placement_of(name), plan.study.model(name)
    most = fullest(plan, name, chosen) if given is not None and gpu is not None else None
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


def burden(placement: Placement, *, scoring: bool = False) -> float:
    """Device seconds relative to a device that computes everything once, alone. Assumptions, all
    three.

    Recomputation repeats the forward pass: 4/3. ZeRO-3 gathers the weights twice an update: 1.15
    inside a node. An offloaded optimizer steps on the host: 2. Scoring has neither a backward pass
    nor an optimizer.
    """
    gathering = (
        {0: 1.0, 1: 1.0, 2: 1.02, 3: 1.15}[placement.zero_stage] if placement.workers > 1 else 1.0
    )
    if scoring:
        return gathering
    return (
        gathering
        * (4 / 3 if placement.checkpoint_activations else 1.0)
        * (2.0 if placement.offload_optimizer else 1)
    )


def cost(demand: Demand, placement: Placement) -> float:
    """`burden`, with an overhead of about 500 tokens' work for every pass."""
    return burden(placement) * (1 + 500 / (demand.sequences(placement) * demand.max_length))


@cache
def candidates(demand: Demand, most_workers: int) -> tuple[Placement, ...]:
    """Every placement on so many devices, the cheapest in device seconds first; then the one with
    fewer workers.
    """
    found = [
        Placement(
            workers=workers,
            zero_stage=stage,
            micro_batch=micro,
            checkpoint_activations=recompute,
            offload_optimizer=offload,
        )
        for workers in (1, 2, 4, 8, 16)
        if workers <= most_workers and demand.divides(workers)
        for stage in ((1, 2, 3) if workers > 1 else (1,))
        for recompute in (False, True)
        for offload in (False, True)
        for micro in _micro_batches(demand, workers)
    ]
    return tuple(
        sorted(found, key=lambda one: (round(cost(demand, one), 3), one.workers, one.zero_stage))
    )


def _micro_batches(demand: Demand, workers: int) -> list[int]:
    """Powers of two up to 32 between the smallest pass and a worker's share, largest first; one at
    least.
    """
    most = demand.batch // workers
    wanted = {micro for micro in (1, 2, 4, 8, 16, 32) if demand.least <= micro <= most}
    return sorted(wanted | {max(demand.least, min(32, most))}, reverse=True)


def misfit(model: ModelSpec, demand: Demand, placement: Placement, gpu: GpuSpec) -> str | None:
    """Why a placement does not fit, with the numbers; None if it does."""
    need = memory(model, demand, placement)
    usable = USABLE * gpu.memory_gib * GIB
    if need.total > usable:
        return (
            f"needs {need.total / GIB:.1f} GiB a device, {usable / GIB:.1f} of {gpu.name} are"
            " usable"
        )
    here = min(placement.workers, gpu.devices_per_node)
    if need.host * here > USABLE * gpu.host_gib * GIB:
        return (
            f"offloads {need.host * here / GIB:.0f} GiB to the host, {USABLE * gpu.host_gib:.0f} of"
            f" a node of {gpu.devices_per_node} × {gpu.name} are usable"
        )
    return None


def fitting(
    model: ModelSpec, demand: Demand, gpu: GpuSpec, most_workers: int = 0
) -> dict[int, Placement]:
    """Gang size → its cheapest placement that fits, the cheapest gang first; gangs of one node.

    `most_workers`: devices that there are at all; 0 for a whole node. ValueError with the numbers
    and the way out where nothing fits.
    """
    most = min(gpu.devices_per_node, most_workers or gpu.devices_per_node)
    possible = candidates(demand, most)
    found: dict[int, Placement] = {}
    for placement in possible:
        if placement.workers not in found and misfit(model, demand, placement, gpu) is None:
            found[placement.workers] = placement
    if found:
        return found
    least = min(
        (one for one in possible if not one.offload_optimizer),
        key=lambda one: memory(model, demand, one).total,
    )
    offloaded = least.model_copy(update={"offload_optimizer": True})
    raise UserError(
        f"{model.name} does not fit on a node of {most} × {gpu.name}: at best ({describe(least)})"
        f" it {misfit(model, demand, least, gpu)}; with an offloaded optimizer it"
        f" {misfit(model, demand, offloaded, gpu)}. Choose a GPU with more memory, a node with more"
        " of them or with more host memory, or give a `placement` with more workers than one node"
        " has."
    )


def describe(placement: Placement, micro: str = "") -> str:
    """`8 × ZeRO-3, micro 4, recomputed, offloaded`: workers, stage, longest sequences per pass
    (`micro`: as text).
    """
    text = (
        f"{placement.workers} × ZeRO-{placement.zero_stage}, micro {micro or placement.micro_batch}"
    )
    return (
        text
        + ", recomputed" * placement.checkpoint_activations
        + ", offloaded" * placement.offload_optimizer
    )
