"""Text, a line an example."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read


def test_plain_text_skips_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("one\n\n two\n", encoding="utf-8")
    assert read("plain_text", [path]) == [{"id": "0", "text": "one"}, {"id": "1", "text": " two"}]
