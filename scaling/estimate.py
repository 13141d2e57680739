"""What steps cost before they run: tokens → FLOPs → seconds → dollars. Every number carries its assumption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scaling.arms import Member
from scaling.calibration import Calibration
from scaling.hardware import CPU_FLOPS, PAIRS_TOGETHER, GpuSpec, Placement, mfu
from scaling.memory import burden, plan_placement
from scaling.mixture import member_updates
from scaling.models import ModelSpec
from scaling.plan import Plan, Step
from scaling.recipes import Recipe
from scaling.records import StepRecord
from scaling.study import Study
from scaling.tasks import Split, TaskSpec

# `SPLIT.LANGUAGE` → (sequences, real tokens), by task; written by staging.
Sizes = Mapping[str, Mapping[str, tuple[int, int]]]

# What was measured on the device that is planned for, by model.
Measured = Mapping[str, Calibration]

# Mean tokens of a sequence where nothing was staged yet; guesses from public samples, good to a factor of two.
ASSUMED_TOKENS = {
    "classification": 45, "multiple_choice": 50, "tagging": 30, "span_qa": 200, "retrieval": 30, "masked_lm": 250
}  # fmt: skip
ASSUMED_CHOICES = 4


def split_size(task: TaskSpec, key: str, sizes: Sizes, limits: Mapping[Split, int]) -> tuple[int, int]:
    """(sequences, tokens) of a split: counted by staging, or published counts times an assumed length."""
    staged = sizes.get(task.name, {}).get(key)
    if staged is not None:
        return staged
    split = key.partition(".")[0]
    examples = task.sizes.get(key, task.sizes.get(split, 1_000))
    examples = min(examples, limits.get(split, examples))  # type: ignore[call-overload]
    sequences = examples * (ASSUMED_CHOICES if task.kind == "multiple_choice" else 1)
    return sequences, sequences * ASSUMED_TOKENS[task.kind]


def member_sizes(plan: Plan, member: Member, sizes: Sizes) -> list[tuple[int, int]]:
    """(sequences, tokens) of a member's training data, by language."""
    task = plan.study.task(member.task)
    return [split_size(task, f"train.{code}", sizes, plan.study.limits) for code in member.languages]


def step_flops(plan: Plan, step: Step, sizes: Sizes) -> float:
    """Model FLOPs of a step; scoring is a third of training per token."""
    study = plan.study
    task, model = study.task(step.task), study.model(step.model)
    if step.action == "train":
        return _training_flops(plan, step, model, sizes)
    total = 0.0
    for code in study.test_languages(task.name):
        sequences, tokens = split_size(task, f"test.{code}", sizes, study.limits)
        total += model.train_flops_per_token(tokens // max(1, sequences)) / 3 * tokens
    return total


def _training_flops(plan: Plan, step: Step, model: ModelSpec, sizes: Sizes) -> float:
    """Of all members: an epoch's tokens times the epochs, or the share of the updates that a mixture gives a member."""
    found = []
    for member in step.mixture.members:
        parts = member_sizes(plan, member, sizes)
        sequences, tokens = sum(part[0] for part in parts), sum(part[1] for part in parts)
        found.append((sequences, tokens, model.train_flops_per_token(tokens // max(1, sequences))))
    if step.updates_like:
        # As many updates as the others take, of this task's examples: close enough by the number of sequences.
        others = [plan.steps[name] for name in step.updates_like]
        drawn = sum(_sequences(plan, other, sizes) for other in others)
    else:
        drawn = None
    if len(found) == 1:
        sequences, tokens, per_token = found[0]
        epochs = step.recipe.epochs if drawn is None else drawn / max(1, sequences)
        return per_token * tokens * epochs
    mixture = step.mixture
    updates = member_updates([one[0] for one in found], step.recipe, mixture.sampling, mixture.mlm_ratio)
    return sum(
        per_token * tokens * own * step.recipe.batch / max(1, sequences)
        for (sequences, tokens, per_token), own in zip(found, updates, strict=True)
    )


def _sequences(plan: Plan, step: Step, sizes: Sizes) -> float:
    """Sequences that a training draws, over all of its epochs."""
    counts = [sum(count for count, _ in member_sizes(plan, member, sizes)) for member in step.mixture.members]
    updates = member_updates(counts, step.recipe, step.mixture.sampling, step.mixture.mlm_ratio)
    return float(sum(updates) * step.recipe.batch)


def flops_per_second(
    study: Study, model: str, placement: Placement, gpu: GpuSpec | None, measured: Measured | None = None
) -> float:
    """Model FLOPs of the whole gang: measured on this device, else the GPU's peak times the assumed utilisation."""
    known = (measured or {}).get(model)
    if known is not None:
        # Another placement than the measured one is faster or slower by what is assumed of both.
        return known.flops_per_second * placement.workers * burden(known.placement) / burden(placement)
    if gpu is None:
        return CPU_FLOPS * placement.workers
    return gpu.bf16_tflops * 1e12 * mfu(study.model(model)) * placement.workers / burden(placement)


def step_seconds(
    plan: Plan,
    step: Step,
    sizes: Sizes,
    placement: Placement,
    gpu: GpuSpec | None,
    measured: Measured | None = None,
) -> float:
    """Estimated seconds of a step in a warm worker group; half a second for loading and committing."""
    return step_flops(plan, step, sizes) / flops_per_second(plan.study, step.model, placement, gpu, measured) + 0.5


def paces(
    plan: Plan, records: Mapping[str, StepRecord], sizes: Sizes, chosen: Mapping[str, Placement], gpu: GpuSpec | None
) -> dict[str, float]:
    """Model → how many times longer its finished steps took than was estimated; the study's, then 1, where none did.

    Steps that ran on other devices than are planned for do not count.
    """
    took: dict[str, list[tuple[float, float]]] = {}
    for name, record in records.items():
        if (record.cost.device == "cpu") == (gpu is None):
            step = plan.steps[name]
            estimated = step_seconds(plan, step, sizes, chosen[step.model], gpu)
            took.setdefault(step.model, []).append((record.cost.wall_seconds, estimated))

    def ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
        wall, estimated = map(sum, zip(*pairs, strict=True)) if (pairs := list(pairs)) else (0.0, 0.0)
        return wall / estimated if estimated else None

    whole = ratio(pair for pairs in took.values() for pair in pairs) or 1.0
    return {model: ratio(took.get(model, ())) or whole for model in plan.study.models}


def hungriest(study: Study) -> tuple[Recipe, bool]:
    """(the longest sequences with the smallest global batch, whether a masked language model is trained)."""
    recipes = [study.recipe(task) for task in study.used_tasks]
    longest = max(recipes, key=lambda recipe: recipe.max_length)
    masked = any(study.task(task).kind == "masked_lm" for task in study.used_tasks)
    return longest.model_copy(update={"batch": min(recipe.batch for recipe in recipes)}), masked


def placement_for(study: Study, name: str, gpu: GpuSpec | None) -> Placement:
    """What the study says, else the planner's choice for the most demanding task; one worker on CPU.

    ValueError if a model fits nowhere.
    """
    given = study.placement_of(name)
    if given is not None:
        return given
    recipe, masked = hungriest(study)
    if gpu is None:
        # Sharding over one worker is copying for nothing; under bf16 it brings the master weights.
        plain = all(study.recipe(task).precision == "fp32" for task in study.used_tasks)
        return Placement(zero_stage=0 if plain else 1)
    # Pairs of one group are each other's negatives, and stay in one pass.
    group = PAIRS_TOGETHER if any(study.task(task).kind == "retrieval" for task in study.used_tasks) else 1
    return plan_placement(study.model(name), recipe, gpu, masked=masked, multiple=group)


def placements(study: Study, gpu: GpuSpec | None) -> dict[str, Placement]:
    """By model; ValueError if one does not fit."""
    return {name: placement_for(study, name, gpu) for name in study.models}
