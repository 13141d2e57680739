"""What a study that can only be described does not say."""

from __future__ import annotations

import json
from pathlib import Path

from analysis.analyse import analyse
from analysis.load import check_tidy
from analysis.report import write_report
from analysis.tables import all_tables
from analysis.view_sentences import crossover_sentences, foresight_sentence, together_sentence
from scaling.study.question import Question
from tests.helpers.synthetic import study


def test_a_described_study_shows_prices_and_nothing_that_tests_them(tmp_path: Path) -> None:
    """One seed: point prices and shares stay; intervals, the crossover and co-gains do not."""
    frame = study(targets={"panx": ("sw", "te", "de")}, seeds=1)
    results = analyse(check_tidy(frame), Question(resamples=0, point_worth=1.0))
    found = results.crossover
    assert found is not None
    assert found.crossing is None
    for table in (found.table, found.curve):
        for name in {"low", "high", "price_low", "price_high"} & set(table.columns):
            assert table[name].is_nan().all(), name
    assert found.table["price"].is_finite().all()
    assert results.co_gains is None
    assert "co_gains" not in {table.name for table in all_tables(results)}
    assert "not tested" in crossover_sentences(results)[0]
    assert "not shown" in together_sentence(results)
    assert "agrees with its own" not in foresight_sentence(results)
    write_report(frame, question=Question(resamples=0, point_worth=1.0), title="one", out=tmp_path)
    said = json.loads((tmp_path / "verdict.json").read_text())["crossover"]
    assert "at" not in said
    assert {row["price_low"] for row in said["sizes"]} == {None}
    page = (tmp_path / "index.html").read_text()
    assert 'id="f10_price"' in page
    assert 'id="f11_together"' not in page
