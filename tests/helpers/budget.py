"""What an update asks of a device: kernels that are launched, and moments at which the host waits.

Counted on CPU, where the same operations are dispatched as on a GPU, fused attention and dropout
apart. Views launch nothing. Threads that make batches ahead are not looked at.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from deepspeed.accelerator import get_accelerator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
# Their result, or its size, is what the host goes on with.
_WAITING = {
    _ATEN._local_scalar_dense.default,
    _ATEN.nonzero.default,
    _ATEN.masked_select.default,
    _ATEN.equal.default,
    _ATEN._unique2.default,
    _ATEN.repeat_interleave.Tensor,
}
_INDEXING = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}
_NO_KERNEL = {
    _ATEN.detach.default,
    _ATEN.alias.default,
    _ATEN.empty.memory_format,
    _ATEN.empty_like.default,
    _ATEN.empty_strided.default,
    _ATEN.new_empty.default,
    _ATEN.new_empty_strided.default,
    _ATEN._local_scalar_dense.default,
    _ATEN.is_pinned.default,
}
_READING = ("tolist", "numpy", "cpu", "item", "__bool__", "__int__", "__float__", "__array__")


@dataclass
class Budget:
    """Launches by phase, and waits by the line of code that waits."""

    launches: Counter[str] = field(default_factory=Counter)
    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    phase: str = "forward"

    def waited(self, what: str) -> None:
        own = [
            frame
            for frame in traceback.extract_stack()[:-2]
            if "/torch/" not in frame.filename and not frame.filename.endswith("budget.py")
        ]
        where = f"{own[-1].filename.rpartition('site-packages/')[2]}:{own[-1].lineno}"
        self.waits[f"{self.phase}: {what} at {where}"] += 1


class _Dispatched(TorchDispatchMode):
    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        budget = self.budget
        if not func.is_view and func not in _NO_KERNEL:
            budget.launches[budget.phase] += 1
            budget.operations[budget.phase, str(func)] += 1
        boolean = func in _INDEXING and any(
            one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]
        )
        if func in _WAITING or boolean:
            budget.waited(func.name())
        return func(*args, **(kwargs or {}))


class _Read(TorchFunctionMode):
    """What reads a tensor without an operation: on a GPU each of them waits."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("tolist", "numpy", "cpu"):
            self.budget.waited(func.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def counted() -> Iterator[Budget]:
    """Count everything that this thread has a device do in the block."""
    budget, accelerator = Budget(), get_accelerator()
    plain = accelerator.synchronize
    accelerator.synchronize = lambda *_: budget.waited("synchronize")
    try:
        with _Read(budget), _Dispatched(budget):
            yield budget
    finally:
        accelerator.synchronize = plain
