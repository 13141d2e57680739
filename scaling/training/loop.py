"""One training: the same updates on any hardware, resumable in the middle, judged on English dev
data at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from scaling.catalogue.hardware import Placement
from scaling.data.batching import Batch, ahead, collate, micro_batches, sequences_of
from scaling.encoders.engine import Engine
from scaling.encoders.world import World
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream
from scaling.training.resume import ResumePoint

# Seconds of a notice that are kept for leaving.
NOTICE_MARGIN_SECONDS = 10.0


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


class Preempted(RuntimeError):
    """A machine of this process group goes away soon. Not a failure: the step goes on elsewhere."""


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
    """Linear warm-up to the recipe's rate, then linear decay that reaches zero after the last
    update.
    """
    warm = max(1, round(recipe.warmup * updates)) if recipe.warmup > 0 else 0
    if update < warm:
        return recipe.learning_rate * (update + 1) / warm
    return recipe.learning_rate * (updates - update) / max(1, updates - warm)


def run_updates(
    engine: Engine,
    streams: Sequence[Stream],
    turns: Sequence[int],
    recipe: Recipe,
    placement: Placement,
    world: World,
    seed: int,
    progress: Callable[[int, int], None],
    resume: ResumePoint,
    notice: Callable[[], float | None] = lambda: None,
) -> Losses:
    """All updates of a training, each of the stream that `turns` names; NonFiniteLoss if the loss
    is no number.

    `notice` tells all ranks the seconds until a machine of theirs goes away, None while none does.
    Then the training saves itself if that can be done in time, and ends with Preempted.
    """
    which = np.asarray(turns)
    own_update = np.zeros(len(which), dtype=np.int64)
    for member in range(len(streams)):
        own_update[which == member] = np.arange((which == member).sum())
    longest = max(stream.recipe.max_length for stream in streams)

    def prepare(update: int) -> tuple[float, list[Batch]]:
        """(terms of the loss in the whole update, this rank's passes)."""
        stream, own = streams[int(which[update])], int(own_update[update])
        units = stream.order[own]
        draw = own if stream.new_draws else own * recipe.batch // stream.features.num_units
        passes = micro_batches(
            units,
            stream.features,
            placement.rows(recipe.batch) * longest,
            longest,
            world.rank,
            world.size,
            stream.kind.together,
        )
        batches = [
            collate(stream.features, stream.kind, chosen, draw=seed * 1_000_003 + draw).pinned()
            for chosen in passes
        ]
        targets = [stream.features.targets[index] for index in sequences_of(units, stream.features)]
        return stream.kind.loss_weight(targets), batches

    losses: list[float] = []
    tokens = 0
    if resume.found is not None:
        state = engine.load_resume(resume.found)
        # DeepSpeed keeps one state for all ranks below ZeRO-3: the sum over ranks, which one of
        # them goes on from.
        losses, tokens = list(state["losses"]), int(state["tokens"]) if world.rank == 0 else 0
    pending: list[torch.Tensor] = []
    begun = len(losses)
    for update, (weight, batches) in enumerate(ahead(prepare, len(turns), begun), begun):
        # Dropout depends on the update, not on how many a process has made: a resumed run draws the
        # same masks.
        torch.manual_seed((seed * 1_000_003 + update) * 1_009 + world.rank)
        turn = int(which[update])
        stream = streams[turn]
        depth = stream.recipe.pool_depth if stream.kind.mid_depth else None
        total = torch.zeros((), device=world.device)
        for number, prepared in enumerate(batches, 1):
            batch = prepared.to(world.device)
            engine.last_pass(number == len(batches))
            hidden = engine.hidden(batch.input_ids, batch.mask, depth)
            summed = stream.kind.loss(
                engine.model.head_of(turn), hidden, batch.mask, batch.targets, batch.units
            )
            # The engine takes the mean over the ranks; this makes it the mean over the global
            # batch.
            loss = summed * (world.size / weight)
            engine.backward(loss if len(streams) == 1 else loss + engine.model.idle(turn, hidden))
            engine.step(learning_rate(update, len(turns), recipe))
            total += summed.detach() / weight
            tokens += batch.tokens
        pending.append(total)
        last = update + 1 == len(turns)
        if last or (update + 1) % 10 == 0 or _due(update + 1, placement):
            losses += _sum_over_ranks(pending, world)
            pending = []
            if not math.isfinite(sum(losses)):
                where = next(index for index, loss in enumerate(losses) if not math.isfinite(loss))
                raise NonFiniteLoss(
                    f"the loss is {losses[where]} at update {where + 1} of {len(turns)}"
                )
            progress(update + 1, len(turns))
        due = _due(update + 1, placement) and not last
        if due:
            resume.save(
                partial(engine.save_resume, state=_state(losses, tokens, world)), update + 1
            )
        if not pending and not last and (left := notice()) is not None:
            needed = resume.save_seconds()
            fits = needed < left - NOTICE_MARGIN_SECONDS
            if fits and not due:
                resume.save(
                    partial(engine.save_resume, state=_state(losses, tokens, world)), update + 1
                )
            raise Preempted(
                f"{left:.0f} s before a machine goes away, after update {update + 1} of"
                f" {len(turns)}, "
                + ("saved" if fits or due else f"not saved: that takes {needed:.0f} s")
            )
    return Losses(
        updates=len(turns),
        examples=len(turns) * recipe.batch,
        tokens=sum(world.gather(tokens)),
        per_update=tuple(losses),
    )


def _state(losses: list[float], tokens: int, world: World) -> dict[str, Any]:
    """What a resume point holds besides the engine's state, the same on every rank."""
    return {"losses": losses, "tokens": sum(world.gather(tokens))}


def _due(update: int, placement: Placement) -> bool:
    return placement.resume_every > 0 and update % placement.resume_every == 0


def _sum_over_ranks(pending: list[torch.Tensor], world: World) -> list[float]:
    stacked = torch.stack(pending)
    if world.size > 1:
        torch.distributed.all_reduce(stacked)
    return [float(value) for value in stacked.cpu()]
