"""What each moment of an update has in memory beside what every moment has: ZeRO stage by stage.

As read in DeepSpeed 0.19.8, and held against what its engine holds (`make bench-memory`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from scaling.catalogue.hardware import GROUP_ELEMENTS, LIVE_ELEMENTS, Placement


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Elements that the moments of an update are made of."""

    size: float
    """Bytes of an element in the precision of the computation."""
    params: float
    share: float
    """Of the parameters, of each worker."""
    words: float
    """Word embeddings that are trained: nearly always the largest tensor."""
    embedding: float
    """Them, and those of positions."""
    matrix: float
    """The largest tensor of a layer."""
    small: float
    """Biases and norms, about: ZeRO-3 keeps them whole."""
    tensors: float
    """How many there are, about."""
    bucket: float
    several: bool
    """Whether an update has several passes: gradients of the earlier ones are there."""

    @property
    def shares(self) -> list[tuple[float, float]]:
        """Of shares that differ: whole tensors that have a part in one, and its largest part.

        The embedding comes first. The share that it ends in has all of it and of layers the rest.
        """
        ends = math.ceil(self.words / self.share) - 1
        found = []
        for rank in {0, ends, round(self.params / self.share) - 1}:
            part = min(max(self.words - rank * self.share, 0.0), self.share)
            rest = self.share - part
            whole = (self.words if part else 0.0) + (rest + self.matrix if rest else 0.0)
            found.append((min(self.params, whole), max(part, min(self.matrix, rest))))
        return found

    @property
    def touched(self) -> float:
        """Of whole tensors that have a part in one worker's share, at most."""
        return max(whole for whole, _ in self.shares)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a moment of an update has beside weights, optimizer states, libraries and context."""

    gradients: float = 0.0
    """Bytes, as `buffers` and `fp32`."""
    buffers: float = 0.0
    fp32: float = 0.0
    """Gradients as the optimizer takes them."""
    activations: float = 0.0
    """Share of them that is there."""


def moments(counts: Counts, placement: Placement, gathered: float) -> Iterator[Moment]:
    """The moments that can be the worst of an update, of the worst rank.

    Args:
        counts: Elements of everything.
        placement: How the training is laid out.
        gathered: Copies of what a collective of ZeRO-3 gathers.
    """
    size, params, share = counts.size, counts.params, counts.share
    words, bucket = size * counts.words, size * counts.bucket
    # Below fp32 the step has the gradients once behind each other, and once in fp32.
    copies = share * (4.0 + (size if size < 4 else 0.0))
    again = words if counts.several else 0.0
    # What is reduced is copied first.
    layers = params - counts.words
    rest = size * min(counts.bucket, layers)
    if placement.zero_stage == 3:
        own = size * share
        yield Moment(
            gradients=own, buffers=bucket + gathered * size * _live(counts), activations=1.0
        )
        # The embedding is gathered, its gradient computed, and those before it are reduced. With an
        # optimizer on the host the norm of each share is taken in fp64 then, and not in the step;
        # those of all tensors are kept.
        beside = max(counts.matrix, counts.embedding - counts.words) * share / params
        norm = 8.0 * (beside + counts.tensors) if placement.offload_optimizer else 0.0
        yield Moment(
            gradients=own + words,
            buffers=bucket + gathered * size * (counts.embedding + counts.small) + rest + norm,
        )
        if placement.offload_optimizer:
            # One that is larger than the bucket is reduced while it is gathered.
            still = gathered * size * counts.embedding if words > bucket else 0.0
            norm = still + 8.0 * (counts.words * share / params + counts.tensors)
            yield Moment(gradients=own + words, buffers=bucket + size * counts.small + norm)
        if not placement.offload_optimizer:
            group = min(1.0, GROUP_ELEMENTS / share)
            yield Moment(gradients=own, buffers=bucket + size * counts.small, fp32=group * copies)
    elif placement.zero_stage == 0:
        yield Moment(gradients=size * params, buffers=bucket, activations=1.0)
        yield Moment(gradients=size * params, buffers=bucket + again)
    else:
        whole = placement.zero_stage == 1
        if placement.offload_optimizer:
            # Gradients go to the host by way of a copy, their norm taken in fp64 before.
            own = size * params if whole else 0.0
            apart = 0.0 if whole or words <= bucket else words
            norm = 8.0 * max(largest for _, largest in counts.shares)
            yield Moment(
                gradients=own if counts.several else 0.0,
                buffers=bucket + 2 * words,
                activations=1.0,
            )
            yield Moment(gradients=own, buffers=bucket + words + apart + max(norm, words + again))
            return
        kept = size * counts.touched
        if whole:
            # Those of all passes stay until the last; then those of this rank's share are copied.
            own = size * params
            yield Moment(gradients=own if counts.several else 0.0, buffers=bucket, activations=1.0)
            # What fits into the bucket has left its first place by then.
            moved = kept - (bucket if counts.words <= counts.bucket else 0.0)
            yield Moment(gradients=own, buffers=bucket + max(again, moved))
        else:
            # Every pass copies those of this rank's share; several passes have them twice.
            own = size * min(params, share + counts.matrix)
            old = 1.0 if counts.several else 0.0
            yield Moment(gradients=old * own, buffers=bucket, activations=1.0)
            if layers > counts.bucket:
                yield Moment(
                    gradients=(old + 1) * own,
                    buffers=bucket + rest,
                    activations=1 - counts.bucket / layers,
                )
            new = 1.0 if layers > counts.bucket else 0.0
            yield Moment(gradients=(old + new) * kept, buffers=bucket + words + rest)
            copied = words if words > bucket else 0.0
            yield Moment(gradients=(old + 1) * kept, buffers=bucket + words + copied)
        for tensors, largest in counts.shares:
            # The gradients' norm is taken in fp64, part by part.
            yield Moment(gradients=size * tensors, fp32=max(8.0 * largest, copies))


def _live(counts: Counts) -> float:
    """Elements that ZeRO-3 has gathered at most, and copies of them, while a pass is computed.

    All parameters, with what was fetched ahead, or so many as it may keep: the embedding is
    fetched beyond that for its gradient, while others' gradients are reduced.
    """
    ahead = min(counts.params, counts.bucket / 4)
    return min(
        counts.params + ahead,
        LIVE_ELEMENTS + counts.embedding + min(counts.params, counts.bucket),
    )
