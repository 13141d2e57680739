"""LAReQA: a question, and its sentence in every language."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read
from tests.helpers.squad_files import squad


def test_xquad_r_finds_the_sentence_in_every_language(tmp_path: Path) -> None:
    asked = {"id": "q", "question": "Who?", "answers": [{"text": "Bob", "answer_start": 14}]}
    breaks = [[0, 13], [14, 26]]
    files = [
        squad(tmp_path / f"{code}.json", asked, sentence_breaks=breaks) for code in ("de", "en")
    ]
    rows = read("xquad_r", [files[0], *files], language="de")
    assert [row["id"] for row in rows] == ["q", "de_1_0", "de_1_1", "en_1_0", "en_1_1"]
    assert rows[0]["relevant"] == ["de_1_1", "en_1_1"]
    own = read("xquad_r", [files[0], *files], {"candidates": "own"}, language="de")
    assert [row["id"] for row in own] == ["q", "de_1_0", "de_1_1"]
    assert own[0]["relevant"] == rows[0]["relevant"]
