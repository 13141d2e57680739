"""A store in which a small study was done: nothing was trained for it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from scaling.store.paths import StepFolder
from scaling.store.records import EvalRow
from scaling.store.store import Store
from scaling.study.identity import Lock
from scaling.study.plan import make_plan
from scaling.study.study import Study
from tests.helpers.step_records import record_of
from tests.helpers.tiny import write_study

STUDY: dict[str, object] = {
    "name": "small",
    "models": ["xlm-r-base", "xlm-r-large"],
    "arms": ["none", "mnli"],
    "targets": ["panx"],
    "languages": ["sw", "te"],
}


def finished(folder: Path, num_seeds: int = 3, lock: Lock | None = None) -> tuple[Path, Store]:
    """A study file, and a store in which all of it was done: 50 examples a language.

    Phase ii adds 20 points to what is right. `lock`: of what was staged; None for nothing.
    """
    asked = STUDY | {"seeds": list(range(num_seeds))}
    study = Study(**asked)  # type: ignore[arg-type]
    plan, store = make_plan(study, lock or Lock()), Store.open(folder / "store")
    store.check_study("small")
    if lock is not None:
        store.write_lock(lock)
    rng = np.random.default_rng(0)
    for name, step in plan.steps.items():
        record = record_of(plan, name)
        if step.action == "eval":
            rows, tables = [], []
            for language in study.test_languages("panx"):
                right = rng.random(50) < 0.6 + 0.2 * ("mnli" in name)
                tables.append(
                    pl.DataFrame(
                        {
                            "key": [f"test.{language}"] * 50,
                            "id": [str(k) for k in range(50)],
                            "prediction": ["O"] * 50,
                            "span_correct": right.astype(float),
                            "span_predicted": np.ones(50),
                            "span_gold": np.ones(50),
                        }
                    )
                )
                value = float(right.mean())
                score = {"metric": "span_f1", "n": 50, "value": value, "chance": 0.0}
                rows.append(EvalRow(language=language, split="test", **score))  # type: ignore[arg-type]
            content = io.BytesIO()
            pl.concat(tables).write_parquet(content)
            place = StepFolder(name).attempt(record.provenance.attempt)
            store.write(f"{place}/outcomes.parquet", content.getvalue())
            digest = hashlib.sha256(content.getvalue()).hexdigest()
            record = replace(record, rows=rows, files={"outcomes.parquet": digest})
        store.commit(record)
    return write_study(folder, asked), store
