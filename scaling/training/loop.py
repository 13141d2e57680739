"""The updates of one training: the same on any hardware, and resumable in the middle."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from scaling.catalogue.hardware import PASS_TOKENS, Placement
from scaling.data.batching import Batch, ahead, collate, micro_batches, sequences_of
from scaling.encoders.engine import Engine
from scaling.encoders.world import World
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream
from scaling.training.resume import ResumePoint

# Seconds before a machine goes away that are kept for ending the process.
NOTICE_MARGIN_SECONDS = 10.0

# They keep seeds, updates and ranks apart. Any numbers would do; they are part of every training's
# bits.
SEED_STEP = 1_000_003
UPDATE_STEP = 1_009


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite."""


class Preempted(RuntimeError):
    """A machine of this process group goes away soon. Not a failure: the step goes on elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a training leaves behind beside the weights."""

    updates: int
    examples: int
    tokens: int
    """Real tokens, over all ranks."""
    per_update: tuple[float, ...]
    """Mean loss of each update's batch."""
    selected: int = 0
    """Updates that the weights have behind them, where the best by English dev data were kept."""

    @property
    def first(self) -> float:
        """Mean loss of the first tenth of the updates."""
        tenth = max(1, len(self.per_update) // 10)
        return sum(self.per_update[:tenth]) / tenth

    @property
    def last(self) -> float:
        """Mean loss of the last tenth of the updates."""
        tenth = max(1, len(self.per_update) // 10)
        return sum(self.per_update[-tenth:]) / tenth


def learning_rate(update: int, updates: int, recipe: Recipe) -> float:
    """Linear warm-up to the recipe's rate, then linear decay to zero after the last update."""
    warm = recipe.warmup_updates
    if warm == 0 and recipe.warmup > 0:
        warm = max(1, round(recipe.warmup * updates))
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
    dev_score: Callable[[], float] | None = None,
) -> Losses:
    """All updates of a training; NonFiniteLoss if the loss is no number.

    Before a machine goes away the training saves itself if that can be done in time, and ends with
    Preempted. Where the recipe selects by dev data, the engine holds the best weights in the end.

    Args:
        engine: What is trained.
        streams: What it is trained on, one for each of the engine's heads.
        turns: For each update the number of its stream.
        recipe: Batch, learning rate, warm-up and selection.
        placement: How much fits in a pass, and how often to save.
        world: The ranks, all of which call this.
        seed: Of dropout and masking.
        progress: Called with the updates that are done, and all.
        resume: Where the training stands, and how it saves itself.
        notice: Seconds until a machine goes away, the same on all ranks; None while none does.
        dev_score: Score of the weights of the moment on English dev data, the same on all ranks.
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
            # Packed, there is no padding that more passes could save.
            math.inf if placement.packed else PASS_TOKENS[world.device.type],
        )
        batches = [
            collate(stream.features, stream.kind, chosen, draw=seed * SEED_STEP + draw).pinned()
            for chosen in passes
        ]
        targets = [stream.features.targets[index] for index in sequences_of(units, stream.features)]
        return stream.kind.loss_weight(targets), batches

    losses: list[float] = []
    tokens = 0
    looks = recipe.select_every if dev_score is not None else 0
    # (updates, score) of the best look so far, whose weights the engine keeps.
    best = (0, -math.inf)
    if resume.found is not None:
        state = engine.load_resume(resume.found)
        # Below ZeRO-3 every rank loads the same state. Its token count is the sum over the ranks:
        # only rank 0 takes it.
        losses, tokens = list(state["losses"]), int(state["tokens"]) if world.rank == 0 else 0
        best = tuple(state["best"])
    pending: list[torch.Tensor] = []
    begun = len(losses)
    for update, (weight, batches) in enumerate(ahead(prepare, len(turns), begun), begun):
        # The seed of dropout depends on the update and not on where the process began, so that a
        # resumed training draws the same masks.
        torch.manual_seed((seed * SEED_STEP + update) * UPDATE_STEP + world.rank)
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
        if looks and dev_score is not None and (last or (update + 1) % looks == 0):
            found = dev_score()
            if found > best[1]:
                best = (update + 1, found)
                engine.keep_weights()
        due = _due(update + 1, placement) and not last
        if due:
            resume.save(
                partial(engine.save_resume, state=_state(losses, tokens, best, world)), update + 1
            )
        if not pending and not last and (left := notice()) is not None:
            needed = resume.save_seconds()
            fits = needed < left - NOTICE_MARGIN_SECONDS
            if fits and not due:
                resume.save(
                    partial(engine.save_resume, state=_state(losses, tokens, best, world)),
                    update + 1,
                )
            raise Preempted(
                f"{left:.0f} s before a machine goes away, after update {update + 1} of"
                f" {len(turns)}, "
                + ("saved" if fits or due else f"not saved: that takes {needed:.0f} s")
            )
    if looks:
        engine.restore_weights()
    return Losses(
        selected=best[0],
        updates=len(turns),
        examples=len(turns) * recipe.batch,
        tokens=sum(world.gather(tokens)),
        per_update=tuple(losses),
    )


def _state(
    losses: list[float], tokens: int, best: tuple[int, float], world: World
) -> dict[str, Any]:
    """What a resume point holds besides the engine's state, the same on every rank."""
    return {"losses": losses, "tokens": sum(world.gather(tokens)), "best": best}


def _due(update: int, placement: Placement) -> bool:
    """Whether a resume point is due after this many updates."""
    return placement.resume_every > 0 and update % placement.resume_every == 0


def _sum_over_ranks(pending: list[torch.Tensor], world: World) -> list[float]:
    """The sums over the ranks of scalar tensors, one for each update."""
    stacked = torch.stack(pending)
    if world.size > 1:
        torch.distributed.all_reduce(stacked)
    return [float(value) for value in stacked.cpu()]
