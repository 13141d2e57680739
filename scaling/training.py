"""One training: the same updates on any hardware, resumable in the middle, judged on English dev data at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from scaling.data.batching import Features, collate, micro_batches, training_order
from scaling.engine import Engine, World
from scaling.hardware import Placement
from scaling.kinds.kind import Kind
from scaling.recipes import Recipe
from scaling.resume import ResumePoint


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a training leaves behind besides the weights."""

    updates: int
    examples: int
    tokens: int
    per_update: tuple[float, ...]

    @property
    def first(self) -> float:
        tenth = max(1, len(self.per_update) // 10)
        return sum(self.per_update[:tenth]) / tenth

    @property
    def last(self) -> float:
        tenth = max(1, len(self.per_update) // 10)
        return sum(self.per_update[-tenth:]) / tenth


def learning_rate(update: int, updates: int, recipe: Recipe) -> float:
    """Linear warm-up to the recipe's rate, then linear decay that reaches zero after the last update."""
    warm = max(1, round(recipe.warmup * updates)) if recipe.warmup > 0 else 0
    if update < warm:
        return recipe.learning_rate * (update + 1) / warm
    return recipe.learning_rate * (updates - update) / max(1, updates - warm)


def run_updates(
    engine: Engine,
    features: Features,
    kind: Kind,
    recipe: Recipe,
    placement: Placement,
    world: World,
    seed: int,
    progress: Callable[[int, int], None],
    resume: ResumePoint,
) -> Losses:
    """All updates of a training; NonFiniteLoss if the loss stops being a number."""
    order = training_order(features, recipe, seed)
    micro, accumulation = placement.accumulation(recipe.batch)
    shares = world.size * accumulation
    losses: list[float] = []
    tokens = 0
    if resume.found is not None:
        state = engine.load_resume(resume.found)
        losses, tokens = list(state["losses"]), int(state["tokens"])
    pending: list[torch.Tensor] = []
    for update in range(len(losses), len(order)):
        # Dropout depends on the update, not on how many a process has made: a resumed run draws the same masks.
        torch.manual_seed((seed * 1_000_003 + update) * 1_009 + world.rank)
        epoch = update * recipe.batch // features.num_units
        batches = [
            collate(features, kind, chosen, draw=seed * 1_000_003 + epoch)
            for chosen in micro_batches(order[update], features, micro, world.rank, world.size)
        ]
        weight = _global_weight(features, kind, order[update])
        total = torch.zeros((), device=world.device)
        for batch in batches:
            mask = batch.mask.to(world.device, non_blocking=True)
            hidden = engine.hidden(
                batch.input_ids.to(world.device, non_blocking=True), mask, recipe.pool_depth if kind.mid_depth else None
            )
            targets, units = batch.targets.to(world.device), batch.units.to(world.device)
            summed = kind.loss(engine.model.head, hidden, mask, targets, units)
            # DeepSpeed averages over ranks and accumulation steps; this makes it the mean over the global batch.
            engine.backward(summed * (shares / weight))
            engine.step(learning_rate(update, len(order), recipe))
            total += summed.detach() / weight
            tokens += batch.tokens
        pending.append(total)
        last = update + 1 == len(order)
        if last or (update + 1) % 10 == 0 or _due(update + 1, placement):
            losses += _sum_over_ranks(pending, world)
            pending = []
            if not math.isfinite(sum(losses)):
                where = next(index for index, loss in enumerate(losses) if not math.isfinite(loss))
                raise NonFiniteLoss(f"the loss is {losses[where]} at update {where + 1} of {len(order)}")
            progress(update + 1, len(order))
        if _due(update + 1, placement) and not last:
            state = {"losses": losses, "tokens": tokens}
            resume.save(partial(engine.save_resume, state=state), update + 1)
    return Losses(
        updates=len(order), examples=len(order) * recipe.batch, tokens=sum(world.gather(tokens)),
        per_update=tuple(losses),
    )  # fmt: skip


def _due(update: int, placement: Placement) -> bool:
    return placement.resume_every > 0 and update % placement.resume_every == 0


def _global_weight(features: Features, kind: Kind, units: object) -> float:
    chosen = [index for block in micro_batches(units, features, 1, 0, 1) for index in block]  # type: ignore[arg-type]
    return kind.loss_weight([features.targets[index] for index in chosen])


def _sum_over_ranks(pending: list[torch.Tensor], world: World) -> list[float]:
    stacked = torch.stack(pending)
    if world.size > 1:
        torch.distributed.all_reduce(stacked)
    return [float(value) for value in stacked.cpu()]
