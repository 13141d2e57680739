"""What an update asks of a device: kernels that are launched, and moments at which the host waits.

Counted on CPU, where the same operations are dispatched as on a GPU, fused attention and dropout
apart. Views launch nothing. Threads that make batches ahead are not looked at.
"""

from __future__ import annotations

import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from deepspeed.accelerator import get_accelerator
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.peers import Case, made
from benchmarks.random_models import write_model
from scaling.catalogue.hardware import Placement
from scaling.catalogue.models import ModelSpec
from scaling.data.order import training_order
from scaling.encoders.engine import Engine, start_training
from scaling.encoders.world import World
from scaling.kinds import KINDS
from scaling.training.inputs import Stream
from scaling.training.loop import TrainingRun, run_updates

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


@dataclass
class Budget:
    """Launches by phase, and waits by the line of code that waits."""

    launches: Counter[str] = field(default_factory=Counter)
    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    phase: str = "loop"

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


@dataclass(frozen=True, kw_only=True)
class Count:
    """Of some updates of one training."""

    tensors: int
    """Parameters of the model."""
    updates: int
    passes: int
    budget: Budget


def count_updates(
    model: ModelSpec, kind: str, placement: Placement, world: World, precision: str = "bf16"
) -> Count:
    """Ten updates of the loop as it trains, of two passes or more each, after two that warm up."""
    case = Case(name=kind, kind=kind, median=10, longest=24, batch=16)
    recipe = case.recipe.model_copy(update={"precision": precision})
    features = made(case, 16 * 12, model.vocab_rows)
    order = training_order(features.num_units, recipe, 0)

    def train(engine: Engine, first: int, updates: int) -> None:
        part = order[first : first + updates]
        run_updates(
            TrainingRun(
                engine=engine,
                streams=[Stream(features=features, kind=KINDS[kind], recipe=recipe, order=part)],
                turns=[0] * updates,
                recipe=recipe,
                placement=placement,
                seed=0,
            )
        )

    with tempfile.TemporaryDirectory() as folder:
        weights = write_model(model, Path(folder) / "model")
        with closing(
            start_training(
                weights,
                lambda hidden: KINDS[kind].head(hidden, case.task, recipe),
                recipe,
                placement,
                world,
                seed=0,
            )
        ) as engine:
            train(engine, 0, 2)
            tensors = len(list(engine.model.parameters()))
            with counted() as budget:
                passes = _by_phase(engine, budget)
                train(engine, 2, 10)
    return Count(tensors=tensors, updates=10, passes=passes(), budget=budget)


def _by_phase(engine: Engine, budget: Budget) -> Callable[[], int]:
    """Have the budget know what the engine does; how many passes it made."""
    passes = 0

    def wrapped(phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal passes
            budget.phase = phase
            passes += phase == "backward"
            result = call(*args, **kwargs)
            # The loss belongs to the forward pass; what follows a step to the loop.
            budget.phase = {"forward": "forward", "backward": "loop", "step": "loop"}[phase]
            return result

        return run

    for name, phase in (("hidden", "forward"), ("backward", "backward"), ("step", "step")):
        setattr(engine, name, wrapped(phase, getattr(engine, name)))
    budget.phase = "loop"
    return lambda: passes
