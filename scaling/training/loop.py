"""The updates of one training: the same on any hardware, and resumable in the middle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from scaling.catalogue.hardware import PASS_TOKENS, Placement
from scaling.data.batching import Batch, ahead, collate, micro_batches, sequences_of
from scaling.encoders.engine import Engine
from scaling.encoders.world import World
from scaling.planning.saving import NOTICE_MARGIN_SECONDS, interval
from scaling.study.recipes import Recipe
from scaling.training.inputs import Stream
from scaling.training.resume import NO_RESUME_POINT, ResumePoint

# They keep seeds, updates and ranks apart. Any numbers would do; they are part of every training's
# bits.
SEED_STEP = 1_000_003
UPDATE_STEP = 1_009


class NonFiniteLoss(RuntimeError):
    """The loss, or its gradient, became NaN or infinite."""


class Preempted(RuntimeError):
    """A machine of this process group goes away soon. Not a failure: the step goes on elsewhere."""


@dataclass(kw_only=True)
class Trace:
    """Of each update that is done, in their order."""

    norms: list[float] = field(default_factory=list)
    """Of the gradient, before clipping; empty without ZeRO."""
    tokens: list[int] = field(default_factory=list)
    """Real tokens, over all ranks."""
    seconds: list[float] = field(default_factory=list)
    """This rank's, an equal share of those between two times that the device was waited for. Looks
    at dev data and saving are not in it."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a training leaves behind beside the weights."""

    updates: int
    examples: int
    tokens: int
    """Real tokens, over all ranks."""
    per_update: tuple[float, ...]
    """Mean loss of each update's batch."""
    trace: Trace
    """What else is known of each update."""
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


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training that is about to be made: what is trained, on what, and how."""

    engine: Engine
    streams: Sequence[Stream]
    """One for each of the engine's heads."""
    turns: Sequence[int]
    """For each update the number of its stream."""
    recipe: Recipe
    """Batch, learning rate, warm-up and selection."""
    placement: Placement
    """How much fits in a pass, and how often to save."""
    seed: int
    """Of dropout and masking."""

    def own_updates(self) -> np.ndarray:
        """Of each update how many of its stream came before it, shape (updates,)."""
        turns, own = np.asarray(self.turns), np.zeros(len(self.turns), dtype=np.int64)
        for number in range(len(self.streams)):
            own[turns == number] = np.arange((turns == number).sum())
        return own


def _prepare(
    run: TrainingRun, own_updates: np.ndarray, update: int
) -> tuple[float, int, list[Batch]]:
    """(terms of the loss in the whole update, its real tokens, this rank's passes).

    `own_updates`: of the run, shape (updates,).
    """
    stream, own = run.streams[run.turns[update]], int(own_updates[update])
    batch, world = run.recipe.batch, run.engine.world
    longest = max(stream.recipe.max_length for stream in run.streams)
    units = stream.order[own]
    draw = own if stream.new_draws else own * batch // stream.features.num_units
    passes = micro_batches(
        units,
        stream.features,
        run.placement.rows(batch) * longest,
        longest,
        world.rank,
        world.size,
        stream.kind.together,
        # Packed, there is no padding that more passes could save.
        math.inf if run.placement.packed else PASS_TOKENS[world.device.type],
    )
    batches = [
        collate(stream.features, stream.kind, chosen, draw=run.seed * SEED_STEP + draw).pinned()
        for chosen in passes
    ]
    sequences = sequences_of(units, stream.features)
    targets = [stream.features.targets[index] for index in sequences]
    tokens = sum(len(stream.features.input_ids[index]) for index in sequences)
    return stream.kind.loss_weight(targets), tokens, batches


def run_updates(
    run: TrainingRun,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    resume: ResumePoint = NO_RESUME_POINT,
    notice: Callable[[], float | None] = lambda: None,
    dev_score: Callable[[], float] | None = None,
) -> Losses:
    """All updates of a training; NonFiniteLoss if the loss is no number.

    All ranks call it. Before a machine goes away the training saves itself if that can be done in
    time, and ends with Preempted. Where the recipe selects by dev data, the engine holds the best
    weights in the end.

    Args:
        run: The training.
        progress: Called with the updates that are done, and all.
        resume: Where the training stands, and how it saves itself.
        notice: Seconds until a machine goes away, the same on all ranks; None while none does.
        dev_score: Score of the weights of the moment on English dev data, the same on all ranks.
    """
    engine, recipe, placement, world = run.engine, run.recipe, run.placement, run.engine.world
    prepare, updates = partial(_prepare, run, run.own_updates()), len(run.turns)
    losses: list[float] = []
    tokens, trace = 0, Trace()
    looks = recipe.select_every if dev_score is not None else 0
    # (updates, score) of the best look so far, whose weights the engine keeps.
    best = (0, -math.inf)
    if resume.found is not None:
        state = engine.load_resume(resume.found)
        # Below ZeRO-3 every rank loads the same state. Its token count is the sum over the ranks:
        # only rank 0 takes it.
        losses, tokens = list(state["losses"]), int(state["tokens"]) if world.rank == 0 else 0
        best, trace = tuple(state["best"]), Trace(**state["trace"])
    pending: list[torch.Tensor] = []
    norms: list[torch.Tensor] = []
    begun, saved_at, every = len(losses), resume.clock(), interval(resume.save_seconds())
    looked_at, drawn = time.monotonic(), list[int]()
    for update, (weight, num_tokens, batches) in enumerate(ahead(prepare, updates, begun), begun):
        # The seed of dropout depends on the update and not on where the process began, so that a
        # resumed training draws the same masks.
        torch.manual_seed((run.seed * SEED_STEP + update) * UPDATE_STEP + world.rank)
        turn = run.turns[update]
        stream = run.streams[turn]
        depth = stream.recipe.pool_depth if stream.kind.mid_depth else None
        total = torch.zeros((), device=world.device)
        for number, prepared in enumerate(batches, 1):
            batch = prepared.to(world.device)
            engine.last_pass(number == len(batches))
            hidden = engine.hidden(batch, depth)
            summed = stream.kind.loss(
                engine.model.head_of(turn), hidden, batch.mask, batch.targets, batch.units
            )
            # The engine takes the mean over the ranks; this makes it the mean over the global
            # batch.
            loss = summed * (world.size / weight)
            engine.backward(
                loss if len(run.streams) == 1 else loss + engine.model.idle(turn, hidden)
            )
            engine.step(learning_rate(update, updates, recipe))
            total += summed.detach() / weight
            tokens += batch.tokens
        pending.append(total)
        drawn.append(num_tokens)
        if (norm := engine.gradient_norm) is not None:
            norms.append(torch.as_tensor(norm, dtype=torch.float32, device=world.device))
        last = update + 1 == updates
        if last or (update + 1) % 10 == 0 or _due(update + 1, placement):
            latest, sizes = _read(pending, norms, world)
            _check_finite(latest, sizes, len(losses), updates)
            losses += latest
            share = (time.monotonic() - looked_at) / len(latest)
            trace.norms += sizes
            trace.tokens += drawn
            trace.seconds += [share] * len(latest)
            pending, norms, drawn = [], [], []
            progress(update + 1, updates)
        if looks and dev_score is not None and (last or (update + 1) % looks == 0):
            found = dev_score()
            if found > best[1]:
                best = (update + 1, found)
                engine.keep_weights()
        due = _due(update + 1, placement) and not last
        if not pending and not last and placement.resume_every == 0:
            due = bool(world.from_first(resume.clock() - saved_at >= every))
        if due:
            resume.save(
                partial(engine.save_resume, state=_state(losses, tokens, best, trace, world)),
                update + 1,
            )
            saved_at, every = resume.clock(), interval(resume.save_seconds())
        if not pending and not last and (left := notice()) is not None:
            needed = resume.save_seconds()
            fits = needed < left - NOTICE_MARGIN_SECONDS
            if fits and not due:
                resume.save(
                    partial(engine.save_resume, state=_state(losses, tokens, best, trace, world)),
                    update + 1,
                )
            raise Preempted(
                f"{left:.0f} s before a machine goes away, after update {update + 1} of"
                f" {updates}, "
                + ("saved" if fits or due else f"not saved: that takes {needed:.0f} s")
            )
        if not pending:
            looked_at = time.monotonic()
    if looks:
        engine.restore_weights()
    return Losses(
        selected=best[0],
        updates=updates,
        examples=updates * recipe.batch,
        tokens=sum(world.gather(tokens)),
        per_update=tuple(losses),
        trace=trace,
    )


def _state(
    losses: list[float], tokens: int, best: tuple[int, float], trace: Trace, world: World
) -> dict[str, Any]:
    """What a resume point holds besides the engine's state.

    Args:
        losses: Mean loss of each update.
        tokens: Of this rank; the sum over the ranks is held.
        best: Updates and score of the best look.
        trace: Of each update.
        world: The ranks, all of which call this.
    """
    whole = sum(world.gather(tokens))
    return {"losses": losses, "tokens": whole, "best": best, "trace": asdict(trace)}


def _due(update: int, placement: Placement) -> bool:
    """Whether a resume point is due after this many updates."""
    return placement.resume_every > 0 and update % placement.resume_every == 0


def _read(
    pending: list[torch.Tensor], norms: list[torch.Tensor], world: World
) -> tuple[list[float], list[float]]:
    """The losses summed over the ranks, and the norms of the gradients; the device is waited for
    once.
    """
    stacked = torch.stack(pending)
    if world.size > 1:
        torch.distributed.all_reduce(stacked)
    values = torch.cat([stacked, torch.stack(norms)] if norms else [stacked]).tolist()
    return values[: len(pending)], values[len(pending) :]


def _check_finite(losses: Sequence[float], norms: Sequence[float], done: int, updates: int) -> None:
    """NonFiniteLoss names the first update, after `done` others, whose loss or gradient is no
    number.
    """
    for at, loss in enumerate(losses):
        where = f"at update {done + at + 1} of {updates}"
        if not math.isfinite(loss):
            raise NonFiniteLoss(f"the loss is {loss} {where}")
        if norms and not math.isfinite(norms[at]):
            raise NonFiniteLoss(f"the norm of the gradient is {norms[at]} {where}")
