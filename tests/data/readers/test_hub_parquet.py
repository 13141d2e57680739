"""Parquet with columns of the hub."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.helpers.reading import read


def test_parquet_numbers_and_choice_keys(tmp_path: Path) -> None:
    path = tmp_path / "0000.parquet"
    record = {
        "question": "Where?",
        "choices": {"label": ["A", "B"], "text": ["here", "there"]},
        "answerKey": "B",
    }
    pq.write_table(pa.Table.from_pylist([record]), path)
    options = {
        "question": "question",
        "choices": "choices.text",
        "choice_keys": "choices.label",
        "label": "answerKey",
    }
    row = read("hub_parquet", [path], options)[0]
    assert (row["choices"], row["label"], row["context"]) == (["here", "there"], 1, "")
