"""Records of steps that nobody ran."""

from __future__ import annotations

from typing import Any

from scaling.store.records import Cost, Provenance, StepRecord, Training
from scaling.study.identity import fingerprint
from scaling.study.steps import Plan

IDENTITY = {"a": [1, 2.5, "x"]}
DAY = "2026-11-23T12:00:00+00:00"
STEP = f"ii.m.t.s0.{fingerprint(IDENTITY)}"


def record(step: str = STEP, attempt: str = "o") -> StepRecord:
    """A record of a step of no plan."""
    return StepRecord(
        step=step,
        fingerprint=fingerprint(IDENTITY),
        identity=dict(IDENTITY),
        training=None,
        rows=[],
        files={},
        cost=Cost(
            wall_seconds=1.0,
            load_seconds=0.1,
            work_seconds=0.8,
            save_seconds=0.1,
            num_devices=1,
            device="cpu",
        ),
        provenance=Provenance(
            attempt=attempt, finished_at=DAY, versions={}, commit="", execution={}
        ),
    )


def training(**fields: Any) -> Training:
    """What a training that learnt nothing says of itself, with these fields changed."""
    said = {"updates": 4, "examples": 32, "tokens": 900, "first_loss": 2.0, "last_loss": 0.5}
    said |= {"dev_metric": "span_f1", "dev_score": 0.0, "dev_n": 1000, "dev_chance": 0.0}
    return Training(**{**said, "collapsed": True, **fields})


def record_of(plan: Plan, step: str) -> StepRecord:
    """A record of a step of a plan: two hours on two devices."""
    return StepRecord(
        step=step,
        fingerprint=plan.steps[step].fingerprint,
        identity=dict(plan.steps[step].identity),
        training=None,
        rows=[],
        files={},
        cost=Cost(
            wall_seconds=7200,
            load_seconds=1,
            work_seconds=7000,
            save_seconds=1,
            num_devices=2,
            device="A100",
        ),
        provenance=Provenance(
            attempt="other.1.aa", finished_at=DAY, versions={}, commit="", execution={}
        ),
    )
