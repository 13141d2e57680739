"""`make bench-real`: the study over real benchmark files of every kind. Half an hour; seconds on a
finished store.

`SCALING_REAL_STORE` names a store of `scaling run real`; what it lacks is run first. The files are
in `SCALING_SHARED/data`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.results_table import write_results
from scaling.planning.progress import study_status
from scaling.store.store import Store
from scaling.store.tidy import tidy_rows
from scaling.study.plan import make_plan
from scaling.study.study import load_study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SCALING_SHARED", ROOT.parent / "shared")) / "data"


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        uri = os.environ.get("SCALING_REAL_STORE", f"{temporary}/real")
        scaling = [sys.executable, "-m", "scaling.cli"]
        for command in (
            ["run", "real", "--store", uri, "--from", str(DATA)],
            ["report", "real", "--store", uri],
        ):
            subprocess.run([*scaling, *command], check=True, cwd=ROOT)
        store = Store.open(uri)
        plan = make_plan(load_study("real"), store.read_lock())
        records = store.records(plan.steps)
        status = study_status(plan, store)
        rows = [row for row in tidy_rows(plan, store) if row.split == "test" and row.main]
    ends = [
        datetime.fromisoformat(record.provenance.finished_at).timestamp()
        for record in records.values()
    ]
    starts = [
        end - record.cost.wall_seconds for end, record in zip(ends, records.values(), strict=True)
    ]
    minutes = (max(ends) - min(starts)) / 60
    kinds = sorted({plan.study.task(step.task).kind for step in plan.steps.values()})
    languages = {row.language for row in rows}
    tested = [row for row in rows if row.target not in ("americasnli_small", "xcopa_files")]
    above = sum(row.value > row.chance for row in tested)
    figures = [
        (
            "minutes from the first step's start to the last record",
            "≤ 40",
            round(minutes, 1),
            minutes <= 40,
        ),
        (
            "kinds of task trained or scored",
            "6",
            f"{len(kinds)}: {', '.join(kinds)}",
            len(kinds) == 6,
        ),
        ("languages scored", "≥ 20", len(languages), len(languages) >= 20),
        (
            "scores above chance, without NLI and COPA",
            "most",
            f"{above} of {len(tested)}",
            above > 0.8 * len(tested),
        ),
        (
            "collapsed trainings, all of NLI, COPA and CommonsenseQA",
            "reported",
            sum(status.collapsed.values()),
            True,
        ),
        (
            "start-up and loading, share of all worker-group seconds",
            "≤ 0.25",
            round(status.seconds.start_share, 2),
            status.seconds.start_share <= 0.25,
        ),
    ]
    keys = ("figure", "target", "value", "met")
    write_results("real", [dict(zip(keys, figure, strict=True)) for figure in figures])


if __name__ == "__main__":
    main()
