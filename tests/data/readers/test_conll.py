"""A word and its tag in each line."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read


def test_panx_and_plain_columns(tmp_path: Path) -> None:
    panx, plain = tmp_path / "en-test", tmp_path / "test.txt"
    panx.write_text("en:a:b\tO\nen:\u00a0x\tB-PER\n\n\nen:Ada\tB-PER\n", encoding="utf-8")
    plain.write_text("-DOCSTART- O\n\nDr. Ada B-PER\nx O\n", encoding="utf-8")
    labels = ("O", "B-PER")
    assert [
        row["words"] for row in read("conll", [panx], {"prefix": "{lang}:"}, labels=labels)
    ] == [
        ["a:b", "\u00a0x"],
        ["Ada"],
    ]
    rows = read("conll", [plain], {"label_map": {"B-PER": "O", "O": "O"}}, labels=labels)
    assert rows == [{"id": "0", "words": ["Dr.", "x"], "tags": ["O", "O"]}]
