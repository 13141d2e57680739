"""`make bench-arms`: the study with every arm, what was drawn, what the controls did. Seconds on a
finished store.

`SCALING_ARMS_STORE` names a store of `scaling run arms`; what it lacks is run first. The files are
in `SCALING_SHARED/data`. Shares are worked out here again, from the study file and the staged
counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from benchmarks.results_table import write_results
from scaling.planning.progress import study_status
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.arms import arm_role
from scaling.study.plan import make_plan
from scaling.study.steps import Plan, Step
from scaling.study.study import load_study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SCALING_SHARED", ROOT.parent / "shared")) / "data"


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        uri = os.environ.get("SCALING_ARMS_STORE", f"{temporary}/arms")
        out = Path(temporary) / "report"
        scaling = [sys.executable, "-m", "scaling.cli"]
        run, report = (
            ["run", "arms", "--store", uri, "--from", str(DATA)],
            ["report", "arms", "--store", uri],
        )
        for command in (run, [*report, "--out", str(out)]):
            subprocess.run([*scaling, *command], check=True, cwd=ROOT)
        store = Store.open(uri)
        plan = make_plan(load_study("arms"), store.read_lock())
        records = store.records(plan.steps)
        status = study_status(plan, store)
        sizes = store.read_sizes()
        claims = json.loads((out / "verdict.json").read_text())["claims"]
    ends = [
        datetime.fromisoformat(record.provenance.finished_at).timestamp()
        for record in records.values()
    ]
    starts = [
        end - record.cost.wall_seconds for end, record in zip(ends, records.values(), strict=True)
    ]
    minutes = (max(ends) - min(starts)) / 60
    scored = {cell.arm for cell in plan.cells if cell.scored in records}
    roles = sorted({arm_role(arm, plan.study.all_tasks) for arm in plan.study.arms})
    states = {
        name: {one["status"] for one in claims if one["name"] == name}
        for name in (c["name"] for c in claims)
    }
    off, mixtures = worst_share(plan, records, sizes)
    matched, others = matched_updates(plan, records)
    figures = [
        (
            "minutes from the first step's start to the last record",
            "≤ 45",
            round(minutes, 1),
            minutes <= 45,
        ),
        (
            "cells scored",
            f"all {len(plan.cells)}",
            sum(cell.scored in records for cell in plan.cells),
            all(cell.scored in records for cell in plan.cells),
        ),
        (
            "arms scored; roles",
            f"all {len(plan.study.arms)}",
            f"{len(scored)}; {', '.join(roles)}",
            len(scored) == len(plan.study.arms),
        ),
        (
            f"examples drawn of a language beside its exact share, worst of {mixtures} trainings",
            "< 1",
            round(off, 3),
            off < 1,
        ),
        (
            "trainings of the compute-matched control with as many updates as the arm it is like",
            f"{others} of {others}",
            f"{matched} of {others}",
            matched == others > 0,
        ),
        (
            "claims with a state other than `not expressible`",
            f"all {len(states)}",
            "; ".join(f"{name}: {', '.join(sorted(found))}" for name, found in states.items()),
            bool(states) and not any("not expressible" in found for found in states.values()),
        ),
        ("collapsed trainings, of 64 examples", "reported", sum(status.collapsed.values()), True),
    ]
    keys = ("figure", "target", "value", "met")
    write_results("arms", [dict(zip(keys, figure, strict=True)) for figure in figures])


def worst_share(
    plan: Plan,
    records: Mapping[str, StepRecord],
    sizes: Mapping[str, Mapping[str, tuple[int, int]]],
) -> tuple[float, int]:
    """(most examples that a language has more or less than size ^ exponent gives it, trainings
    looked at).
    """
    worst, count = 0.0, 0
    for step in _trainings(plan, records):
        training = records[step.id].training
        assert training is not None
        for member in step.mixture.members:
            # One sequence is one example in these two kinds.
            if len(member.languages) > 1 and plan.study.task(member.task).kind in (
                "tagging",
                "masked_lm",
            ):
                weights = [
                    sizes[member.task][f"train.{code}"][0] ** member.exponent
                    for code in member.languages
                ]
                drawn = [training.drawn[f"{member.task}.{code}"] for code in member.languages]
                exact = [sum(drawn) * weight / sum(weights) for weight in weights]
                worst = max(
                    worst, *(abs(one - share) for one, share in zip(drawn, exact, strict=True))
                )
                count += 1
    return worst, count


def matched_updates(plan: Plan, records: Mapping[str, StepRecord]) -> tuple[int, int]:
    """(how many have exactly the updates of what they are matched to, all such trainings)."""
    steps = [step for step in _trainings(plan, records) if step.updates_like]
    same = sum(
        _updates(records, step.id) == sum(_updates(records, one) for one in step.updates_like)
        for step in steps
    )
    return same, len(steps)


def _updates(records: Mapping[str, StepRecord], step: str) -> int:
    training = records[step].training
    assert training is not None
    return training.updates


def _trainings(plan: Plan, records: Mapping[str, StepRecord]) -> list[Step]:
    return [step for step in plan.steps.values() if step.action == "train" and step.id in records]


if __name__ == "__main__":
    main()
