"""SQuAD's JSON, both versions."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from scaling.data.schema import SCHEMAS
from tests.helpers.reading import read
from tests.helpers.squad_files import squad


def test_squad2_and_ids_of_one_language(tmp_path: Path) -> None:
    asked = {"id": "swahili-1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    path = squad(
        tmp_path / "a.json",
        asked,
        {
            "id": "english-1",
            "question": "Why?",
            "answers": [],
            "is_impossible": True,
            "plausible_answers": [{}],
        },
    )
    rows = read("squad_json", [path], {"unanswerable": True})
    assert [row["answers"] for row in rows] == [[{"text": "Ada", "start": 0}], []]
    only = read("squad_json", [path], {"id_prefix": "{lang}-"}, language="sw", code="swahili")
    assert [row["id"] for row in only] == ["swahili-1"]
    pa.Table.from_pylist(rows, schema=SCHEMAS["span_qa"])
