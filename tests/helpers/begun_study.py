"""A study of one cell whose training failed once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from scaling.store.failures import note_failure
from scaling.store.logs import kept_log
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study
from tests.helpers.tiny import write_study

SMALL = {
    "name": "small",
    "models": ["xlm-r-base"],
    "arms": ["none"],
    "targets": ["panx"],
    "seeds": [0],
    "gpu": "a100-80",
    "budget_dollars": 40,
}
LOG = logging.getLogger("scaling.test")


def begun(folder: Path) -> tuple[Path, Plan, Store]:
    """A study file, its plan, and a store in which the training failed once and somebody tries
    again.
    """
    store = Store.open(folder / "store")
    store.check_study("small")
    plan = make_plan(Study(**SMALL))  # type: ignore[arg-type]
    training = next(step for step in plan.steps.values() if step.action == "train")
    with pytest.raises(MemoryError), kept_log(store, "session-1", 1):
        LOG.info("starts on 2 workers", extra={"step": training.id})
        try:
            raise MemoryError("CUDA out of memory")
        except MemoryError:
            LOG.exception("failed", extra={"step": training.id})
            raise
    note_failure(
        store,
        training.id,
        "host.1.aa-1",
        {"error": "MemoryError: CUDA out of memory", "at": "2026-11-23", "rank": 1},
    )
    store.write(f"attempts/{training.id}/host.1.aa/weights/part", "x" * 1_000_000)
    return write_study(folder, SMALL), plan, store
