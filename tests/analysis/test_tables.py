"""What others named, in files that other programs open: spreadsheets, browsers, LaTeX."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.explorer import as_json, details_of
from analysis.load import check_tidy
from analysis.results import Results
from analysis.tables import Table, latex, write_csv, write_tables
from scaling.study.question import Question
from tests.helpers.synthetic import study

EVIL = "<!--<script>alert(1)</script>"


@pytest.fixture(scope="module")
def results() -> Results:
    """Of a study whose sizes and arms are called as no file should be called."""
    frame = study(seeds=2).with_columns(
        pl.when(pl.col("model_label") == pl.col("model_label").first())
        .then(pl.lit(EVIL))
        .otherwise(pl.lit("=1+1") + pl.col("model_label"))
        .alias("model_label"),
        pl.col("arm").replace({"mnli": "@SUM(1)"}),
    )
    return analyse(check_tidy(frame), Question(resamples=100))


def test_no_cell_is_a_formula(results: Results, tmp_path: Path) -> None:
    odd = []
    for name in write_tables(results, tmp_path):
        if name.endswith(".csv"):
            frame = pl.read_csv(tmp_path / name, infer_schema=False)
            cells = [*frame.columns, *(str(cell) for row in frame.iter_rows() for cell in row)]
            odd += [
                cell
                for cell in cells
                if re.match(r"[=+\-@\t\r]", cell)
                and not re.fullmatch(r"[+-]?[\d.]+(e-?\d+)?", cell)
            ]
    assert odd == []
    assert "'@SUM(1)" in (tmp_path / "records.csv").read_text()


def test_numbers_and_ordinary_text_stay(tmp_path: Path) -> None:
    frame = pl.DataFrame({"-a": ["+1.5", "-2", "x", None], "b": [-1.0, 2.0, None, 0.5]})
    write_csv(frame, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "'-a,b",
        "+1.5,-1.000000",
        "-2,2.000000",
        "x,",
        ",0.500000",
    ]
    for cell in ("=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"):
        write_csv(pl.DataFrame({"a": [cell]}), tmp_path / "b.csv")
        assert pl.read_csv(tmp_path / "b.csv")["a"].to_list() == [f"'{cell}"]


def test_nothing_in_the_page_ends_its_data(results: Results) -> None:
    text = as_json(details_of(results).head)
    assert "<" not in text
    assert EVIL in json.loads(text)["labels"]


def test_latex_is_text() -> None:
    evil = r"\input{/etc/passwd} \end{table} ^^5cinput $x$ 100% a_b #1 {~}"
    shown = latex(Table(name="t", caption=evil, frame=pl.DataFrame({evil: [evil]})))
    assert shown.count(r"\end{table}") == 1
    assert r"\input" not in shown
    assert "^^" not in shown
    assert not re.search(r"(?<!\\)[%#$_]", shown.split(r"\caption{")[1].split(r"\label")[0])


def test_a_table_that_no_spreadsheet_opens_is_parquet(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.tables.CSV_BYTES", 5000)
    names = write_tables(results, tmp_path)
    assert "records.parquet" in names and not (tmp_path / "records.csv").exists()
    assert len(pl.read_parquet(tmp_path / "records.parquet")) == len(results.gains)
    assert all(path.stat().st_size <= 5000 for path in tmp_path.glob("*.csv"))
    assert {path.name for path in tmp_path.iterdir()} == set(names)


def test_a_paper_gets_a_page_of_a_long_table_and_is_told() -> None:
    frame = pl.DataFrame(
        [
            {"arm": f"a{i}", "target": f"t{j}", "model": model, "estimate": i + j / 10}
            for i in range(12)
            for j in range(4)
            for model in ("small", "slope")
        ]
    )
    shown = latex(Table(name="t1", caption="Gains.", frame=frame))
    body = shown.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.count(r"\\") == 12
    assert "t0 & t1 & t2 & t3" in shown.replace("arm & ", "")
    assert "All 96 rows are in t1" in shown
    languages = frame.select(
        pl.concat_str("arm", "target").alias("language_name"),
        pl.concat_str("arm", "target", "model").alias("language"),
        pl.col("estimate").alias("slope"),
    )
    shown = latex(Table(name="t2", caption="Slopes.", frame=languages))
    assert "a0t0" in shown and "a11t3" in shown and "a5t2" not in shown
