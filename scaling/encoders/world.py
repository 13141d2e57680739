"""The process group that a step runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among its peers."""

    rank: int
    size: int
    device: torch.device

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        if self.size > 1:
            dist.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, on every rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def rows(self, own: Tensor) -> Tensor:
        """The rows of all ranks, N·B x …, those of rank 0 first. own: B x …, as many on every rank.

        With gradient, if all ranks compute the same of the result and each gives back an N-th of
        it: the gradient of the sum over the ranks is then N times that of each, without a word
        between them.
        """
        return own if self.size == 1 else _Rows.apply(own, self)  # type: ignore[no-any-return]

    def summed(self, own: Tensor) -> Tensor:
        """The sum over the ranks, of any shape, in place of each one's own."""
        if self.size > 1:
            dist.all_reduce(own)
        return own

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, world: World) -> Tensor:
        ctx.world = world
        every = own.new_empty((world.size * len(own), *own.shape[1:]))
        dist.all_gather_single(every, own.contiguous())
        return every

    @staticmethod
    def backward(ctx: Any, every: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        world = ctx.world
        return every.chunk(world.size)[world.rank] * world.size, None
