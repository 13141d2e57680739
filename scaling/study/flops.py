"""Model FLOPs of a step, from counted or published sizes."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.catalogue.models import ModelSpec
from scaling.catalogue.task import DEV, Key, Split, TaskSpec
from scaling.study.mixture import Member, member_updates
from scaling.study.steps import Plan, Step

# `SPLIT.LANGUAGE` → (sequences, real tokens, different tokens), by task; written by staging. The
# last is by the tokenizer that makes most of them, over all scripts that the study reads the split
# in; 0 where nobody counted.
Sizes = Mapping[str, Mapping[str, tuple[int, int, int]]]
NOTHING_STAGED: Sizes = {}


# Mean tokens of a sequence where nothing was staged yet; guesses from public samples, good to a
# factor of two.
ASSUMED_TOKENS = {
    "classification": 45,
    "multiple_choice": 50,
    "tagging": 30,
    "span_qa": 200,
    "retrieval": 30,
    "masked_lm": 250,
}


# Choices of a multiple-choice question: four in all intermediate tasks but CommonsenseQA, which has
# five.
ASSUMED_CHOICES = 4


def split_size(
    task: TaskSpec, key: Key, sizes: Sizes, limits: Mapping[Split, int]
) -> tuple[int, int]:
    """(sequences, tokens) of a split: counted, or published counts times an assumed length.

    Args:
        task: whose split it is.
        key: which split.
        sizes: what staging counted.
        limits: most examples by split.
    """
    staged = sizes.get(task.name, {}).get(str(key))
    if staged is not None:
        return staged[:2]
    examples = task.sizes.get(str(key), task.sizes.get(key.split, 1_000))
    examples = min(examples, limits.get(key.split, examples))
    sequences = examples * (ASSUMED_CHOICES if task.kind == "multiple_choice" else 1)
    return sequences, sequences * ASSUMED_TOKENS[task.kind]


def member_sizes(plan: Plan, member: Member, sizes: Sizes) -> list[tuple[int, int]]:
    """(sequences, tokens) of a member's training data, by language."""
    task = plan.study.task(member.task)
    return [
        split_size(task, Key("train", code), sizes, plan.study.limits) for code in member.languages
    ]


def step_flops(plan: Plan, step: Step, sizes: Sizes) -> float:
    """Model FLOPs of a step; scoring is a third of training per token."""
    study = plan.study
    task, model = study.task(step.task), study.model(step.model)
    if step.action == "train":
        return _training_flops(plan, step, model, sizes) + _look_flops(plan, step, model, sizes)
    total = 0.0
    for code in study.test_languages(task.name):
        sequences, tokens = split_size(task, Key("test", code), sizes, study.limits)
        total += model.train_flops_per_token(tokens // max(1, sequences)) / 3 * tokens
    return total


def _training_flops(plan: Plan, step: Step, model: ModelSpec, sizes: Sizes) -> float:
    """Of all members: tokens of an epoch times epochs, or a member's share of the updates."""
    members = []
    for member in step.mixture.members:
        parts = member_sizes(plan, member, sizes)
        sequences, tokens = sum(part[0] for part in parts), sum(part[1] for part in parts)
        members.append(
            (sequences, tokens, model.train_flops_per_token(tokens // max(1, sequences)))
        )
    if step.updates_like:
        # As many updates as the others take, of this task's examples: close enough by the number of
        # sequences.
        others = [plan.steps[name] for name in step.updates_like]
        drawn = sum(_sequences(plan, other, sizes) for other in others)
    else:
        drawn = None
    if len(members) == 1:
        sequences, tokens, per_token = members[0]
        epochs = step.recipe.epochs if drawn is None else drawn / max(1, sequences)
        return per_token * tokens * epochs
    mixture = step.mixture
    updates = member_updates(
        [sequences for sequences, _, _ in members], step.recipe, mixture.sampling, mixture.mlm_ratio
    )
    return sum(
        per_token * tokens * own * step.recipe.batch / max(1, sequences)
        for (sequences, tokens, per_token), own in zip(members, updates, strict=True)
    )


def _look_flops(plan: Plan, step: Step, model: ModelSpec, sizes: Sizes) -> float:
    """Of the looks at English dev data by which weights are selected: a forward pass each."""
    recipe, task = step.recipe, plan.study.task(step.task)
    if not recipe.select_every or not task.has_dev:
        return 0.0
    several = sequences_of_a_unit(plan, step)
    sequences, tokens = split_size(task, DEV, sizes, plan.study.limits)
    if recipe.select_examples and task.kind != "retrieval":
        tokens = round(tokens * min(1.0, recipe.select_examples * several / max(1, sequences)))
    looks = step_updates(plan, step, sizes) // recipe.select_every + 1
    return looks * tokens * model.train_flops_per_token(tokens // max(1, sequences)) / 3


def sequences_of_a_unit(plan: Plan, step: Step) -> int:
    """Sequences of an example of a step's task."""
    return ASSUMED_CHOICES if plan.study.task(step.task).kind == "multiple_choice" else 1


def step_updates(plan: Plan, step: Step, sizes: Sizes) -> float:
    """Updates of a training, close enough by the number of sequences."""
    others = [plan.steps[name] for name in step.updates_like] or [step]
    drawn = sum(_sequences(plan, one, sizes) for one in others)
    return drawn / step.recipe.batch / sequences_of_a_unit(plan, step)


def _sequences(plan: Plan, step: Step, sizes: Sizes) -> float:
    """Sequences that a training draws, over all of its epochs."""
    counts = [
        sum(count for count, _ in member_sizes(plan, member, sizes))
        for member in step.mixture.members
    ]
    updates = member_updates(counts, step.recipe, step.mixture.sampling, step.mixture.mlm_ratio)
    return float(sum(updates) * step.recipe.batch)
