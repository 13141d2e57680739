"""Questions and their passages as pairs."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read
from tests.helpers.squad_files import squad


def test_squad_pairs_share_a_candidate_that_two_questions_find(tmp_path: Path) -> None:
    answers = (
        [{"text": "Ada", "answer_start": 0}],
        [{"text": "it", "answer_start": 10}],
        [{"text": "Bob", "answer_start": 14}],
    )
    path = squad(
        tmp_path / "a.json",
        *({"id": str(n), "question": "?", "answers": one} for n, one in enumerate(answers)),
    )
    rows = read("squad_pairs", [path])
    assert [row["text"] for row in rows if row["side"] == "candidate"] == [
        "Ada wrote it. ",
        "Bob did not.",
    ]
    assert [row["relevant"] for row in rows if row["side"] == "query"] == [
        ["sentence-0"],
        ["sentence-0"],
        ["sentence-1"],
    ]
