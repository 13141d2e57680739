"""BUCC: sentences, and pairs among them."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.reading import read


def test_bucc_queries_without_gold(tmp_path: Path) -> None:
    for name, text in (
        ("de", "de-1\tEins\nde-2\tZwei\n"),
        ("en", "en-1\tTwo\n"),
        ("gold", "de-2\ten-1\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = read("bucc", [tmp_path / name for name in ("de", "en", "gold")], language="de")
    assert [(row["id"], row["side"], row["relevant"]) for row in rows] == [
        ("de-1", "query", []),
        ("de-2", "query", ["en-1"]),
        ("en-1", "candidate", []),
    ]


def test_bucc_dev_sentences_lie_beside_the_test_set(tmp_path: Path) -> None:
    names = ("de", "en", "gold")
    for name, text in zip(names, ("de-1\tEins\n", "en-1\tOne\n", "de-1\ten-1\n"), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    rows = read("bucc", [tmp_path / name for name in names * 2], language="de")
    assert [(row["id"], row["side"], row["relevant"]) for row in rows] == [
        ("de-1", "query", ["en-1"]),
        ("en-1", "candidate", []),
        ("dev/de-1", "dev_query", ["dev/en-1"]),
        ("dev/en-1", "dev_candidate", []),
    ]
