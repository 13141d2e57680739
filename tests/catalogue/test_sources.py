"""Column mappings of hub repositories give rows of their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.catalogue import CATALOGUE
from scaling.catalogue.task import DataRef, TaskSpec
from scaling.data.schema import SCHEMAS
from tests.helpers.reading import num_examples, read


def put(record: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.replace("{lang}", "en").split(".")
    for parent in parents:
        record = record.setdefault(parent, {})
    record[last] = value


def invented(ref: DataRef, task: TaskSpec, number: int) -> dict[str, Any]:
    """A record with the columns that a task's mapping names."""
    options, record = ref.options, {}
    texts = {
        "context": "Ada wrote it in 1843.",
        "question": "cause" if "question_map" in options else "Who wrote it?",
        "text_a": "one",
        "text_b": "two",
        "query": "one",
        "candidate": "two",
    }
    for option, text in texts.items():
        if option in options:
            put(record, str(options[option]), text)
    for option, value in (("words", ["Ada"]), ("tags", [0]), ("answers", ["Ada"]), ("starts", [0])):
        if option in options:
            put(record, str(options[option]), value)
    choices = options.get("choices", ())
    for column in choices if isinstance(choices, tuple) else ():
        put(record, column, "a choice")
    if isinstance(choices, str):
        put(record, choices, ["x", "y"])
    if "choice_keys" in options:
        put(record, str(options["choice_keys"]), ["A", "B"])
    if "label" in options:
        # A column of class numbers holds numbers, whatever the names of the classes map to.
        named = {task.labels[0]: 0} if task.labels else {0: 0}
        mapped = {0: 0} if "label_names" in options else options.get("label_map", named)
        keyed = "B" if "choice_keys" in options else next(iter(mapped))
        put(record, str(options["label"]), keyed)
    if "id" in options:
        put(record, str(options["id"]), f"id-{number}")
    return record


HUB = [(task, ref) for task in CATALOGUE for ref in task.data if ref.source.startswith("hub:")]


@pytest.mark.parametrize(
    ("task", "ref"), HUB, ids=[f"{task.name}-{ref.source}" for task, ref in HUB]
)
def test_column_mappings_of_the_hub_give_rows_of_the_kind(
    task: TaskSpec, ref: DataRef, tmp_path: Path
) -> None:
    if ref.reader in ("mewsli_x", "jsonl"):
        pytest.skip("not Parquet: test_mewsli_x and test_many_languages read JSON lines")
    path = tmp_path / "0000.parquet"
    pq.write_table(pa.Table.from_pylist([invented(ref, task, number) for number in range(3)]), path)
    rows = read(ref.reader, [path], ref.options, labels=task.labels)
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[task.kind])
    assert num_examples(table.to_pylist()) == 3
