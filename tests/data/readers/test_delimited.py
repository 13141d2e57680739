"""Tables of text: quotes, line ends, several files."""

from __future__ import annotations

import gzip
from pathlib import Path

from scaling.catalogue.sets import NLI
from tests.helpers.reading import read

PAIR = {"text_a": "premise", "text_b": "hypothesis", "label": "label"}


def test_tsv_of_several_languages_keeps_quotes_and_odd_line_separators(tmp_path: Path) -> None:
    path = tmp_path / "xnli.test.tsv.gz"
    text = (
        "\ufefflanguage\tlabel\tpremise\thypothesis\r\n"
        'sw\tneutral\tSay "jambo\u2028again\tB\r\n'
        "fr\tentailment\tC\tD\r\n"
        "sw\tcontradictory\tE\tF\r\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    names = {"contradictory": "contradiction"} | {name: name for name in NLI}
    options = {**PAIR, "where": {"language": "{lang}"}, "label_map": names}
    rows = read("delimited", [path], options, labels=NLI, language="sw")
    assert rows == [
        {"id": "0", "text_a": 'Say "jambo\u2028again', "text_b": "B", "label": "neutral"},
        {"id": "1", "text_a": "E", "text_b": "F", "label": "contradiction"},
    ]


def test_csv_fields_may_hold_lines_and_two_files_have_two_sets_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "part.csv"
    path.write_text(
        'premise,hypothesis,label\n"one,\ntwo",B,neutral\nC,D,entailment\n', encoding="utf-8"
    )
    rows = read("delimited", [path, path], {**PAIR, "name": "snli"}, labels=NLI)
    assert [row["id"] for row in rows] == ["snli-0-0", "snli-0-1", "snli-1-0", "snli-1-1"]
    assert rows[0]["text_a"] == "one,\ntwo"
