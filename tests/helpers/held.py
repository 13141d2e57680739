"""Bytes of tensors that are alive: now, and at most. Counted by storage, whoever holds it.

Only what is made inside the block counts, by this thread. Meta tensors have no bytes.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Held(TorchDispatchMode):
    """`with Held() as held`: `held.bytes` are alive now, `held.peak` were at the worst moment."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.peak = 0
        self._storages: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in tree_iter(result):
            if isinstance(one, torch.Tensor) and not one.is_meta:
                self._see(one.untyped_storage())
        self.peak = max(self.peak, self.bytes)
        return result

    def _see(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return

        def gone(_: Any) -> None:
            del self._storages[key]
            self.bytes -= size

        self._storages[key] = weakref.ref(storage, gone)
        self.bytes += size

    def forget_peak(self) -> None:
        self.peak = self.bytes
