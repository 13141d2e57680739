"""Two files, line by line."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read


def test_parallel_text_looks_up_the_language_from_english(tmp_path: Path) -> None:
    own, english = tmp_path / "t.swh", tmp_path / "t.eng"
    own.write_text("moja\nmbili\n", encoding="utf-8")
    english.write_text("one\ntwo\n", encoding="utf-8")
    rows = read("parallel_text", [own, english], language="sw")
    assert [
        (row["id"], row["side"], row["language"], row["text"], row["relevant"]) for row in rows[:2]
    ] == [
        ("q0", "query", "en", "one", ["c0"]),
        ("c0", "candidate", "sw", "moja", []),
    ]
    assert (
        read("parallel_text", [own, english], {"query": "own"}, language="sw")[0]["text"] == "moja"
    )
