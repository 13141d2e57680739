"""Gold → features → decoded → scored on every language of the real files, and predictions that our
models made.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from scaling.catalogue import TASKS
from scaling.catalogue.models import MODELS
from scaling.catalogue.task import Key
from scaling.data.rows import read_table
from scaling.data.tokens import load_tokenizer
from scaling.encoders.weights import tokenizer_file
from scaling.kinds.kind import scores
from scaling.kinds.span_qa import MAX_QUESTION, answer_fits
from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import load_study
from tests.helpers.making import round_trip, table
from tests.helpers.reading import read_task

TAGGED = ("udpos_files", "masakhapos", "masakhaner2")
# Where `make study-real` leaves its store.
REAL_STORE = Path(os.environ.get("SCALING_REAL_STORE", Path(__file__).parents[1] / "runs/real"))


def round_trips() -> Iterator[dict[str, Any]]:
    """One row per task: figure, target, value, met."""
    tokenizer = load_tokenizer(tokenizer_file(MODELS["e5-depth-12"], None))
    for name in TAGGED:
        task, lowest, total = TASKS[name], 1.0, 0
        for language in task.languages:
            rows = table("tagging", read_task(task, task.data[0], language, "test", []))
            lowest = min(lowest, scores(round_trip(task, rows, language, tokenizer), 0.0)[0].value)
            total += rows.num_rows
        value = (
            f"{100 * lowest:.1f} in the worst of {len(task.languages)} languages, {total:,}"
            " sentences"
        )
        yield {
            "figure": f"tagging round trip, {name}",
            "target": "100.0 in every language",
            "value": value,
            "met": lowest == 1.0,
        }
    task, lowest, total, inside, long = TASKS["xquad_files"], 1.0, 0, {}, 0
    for language in task.languages:
        read = read_task(task, task.data[0], language, "test", [])
        fitting = [row for row in read if answer_fits(row, tokenizer)]
        long += sum(len(tokenizer.encode(row["question"]).ids) - 2 > MAX_QUESTION for row in read)
        outcomes = round_trip(task, table("span_qa", fitting), language, tokenizer)
        lowest = min(lowest, *(score.value for score in scores(outcomes, 0.0)))
        total += len(fitting)
        inside[language] = len(read) - len(fitting)
    counts = " ".join(f"{code} {count}" for code, count in inside.items() if count)
    yield {
        "figure": "QA round trip, xquad_files, answers at token boundaries",
        "target": "100.0 in every language",
        "value": (
            f"{100 * lowest:.1f} in the worst of {len(task.languages)} languages, {total:,}"
            " questions"
        ),
        "met": lowest == 1.0,
    }
    yield {
        "figure": "QA answers that begin or end inside a token: no reader can give them",
        "target": "counted",
        "value": (
            f"{sum(inside.values())} ({counts}); questions over {MAX_QUESTION} tokens, cut: {long}"
        ),
        "met": True,
    }


def predicted(kind: str) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """(language, predictions, gold) of every scoring in the store of `make study-real`, if it is
    there.
    """
    if not (REAL_STORE / "study.json").exists():
        return
    store = Store.open(str(REAL_STORE))
    plan = make_plan(load_study("real"), store.read_lock())
    done = store.scan().done
    for step in plan.steps.values():
        task = plan.study.task(step.task)
        if step.action != "eval" or task.kind != kind or step.id not in done:
            continue
        raw = store.read_file(store.record(step.id), "outcomes.parquet")
        outcomes = pq.read_table(io.BytesIO(raw))
        for key in dict.fromkeys(outcomes["key"].to_pylist()):
            gold = {
                row["id"]: row
                for row in read_table(
                    store, task.name, Key.read(key), plan.lock.data[task.name][key]
                ).to_pylist()
            }
            chosen = [
                row
                for row in outcomes.select(["key", "id", "prediction"]).to_pylist()
                if row["key"] == key
            ]
            predictions = [row["prediction"] for row in chosen]
            language = Key.read(key).language
            if kind == "tagging":
                yield (
                    language,
                    [one.split(" ") for one in predictions],
                    [gold[row["id"]]["tags"] for row in chosen],
                )
                continue
            rows = [gold[row["id"]] for row in chosen]
            if kind == "span_qa":
                yield (
                    language,
                    predictions,
                    [[answer["text"] for answer in row["answers"]] for row in rows],
                )
            elif kind == "retrieval":
                yield language, predictions, [row["relevant"][0] for row in rows]
            else:
                yield language, predictions, [str(row["label"]) for row in rows]
