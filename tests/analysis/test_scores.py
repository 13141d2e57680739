"""Scores as papers print them, and the curve against size that they make."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.answer import verdict_panel
from analysis.figures.size import mean_scores, size_curve
from analysis.load import check_tidy
from scaling.study.question import Question
from tests.helpers.synthetic import study

TARGETS = {"xnli": ("sw", "ur", "fr", "en"), "panx": ("sw", "te", "yo")}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    return check_tidy(study(targets=TARGETS, collapse_rate=0.05, seeds=4))


def test_scores_are_means_of_seeds_then_of_languages_without_english(frame: pl.DataFrame) -> None:
    table = analyse(frame, Question(resamples=0)).scores
    assert len(table) == 4 * 3 * 2
    rule = (
        (pl.col("model") == "xlm-r-xl") & (pl.col("arm") == "none") & (pl.col("target") == "xnli")
    )
    row = table.row(by_predicate=rule, named=True)
    each = {
        code: np.mean([100 * value for value in part["value"]])
        for (code,), part in frame.filter(rule & ~pl.col("collapsed")).group_by("language")
    }
    assert row["english"] == pytest.approx(each.pop("en"))
    assert row["zero_shot"] == pytest.approx(np.mean(list(each.values())))
    assert row["languages"] == 3
    # XLM-R XL of Goyal et al. 2021: 75.3, 74.3 and 85.5 of sw, ur and fr.
    assert row["published"].startswith("78.4 (Goyal")
    assert table.filter(pl.col("arm") != "none")["published"].unique().to_list() == [""]


def test_a_mean_of_which_one_language_is_not_printed_has_no_published_one(
    frame: pl.DataFrame,
) -> None:
    more = frame.filter(pl.col("language") == "fr").with_columns(language=pl.lit("yo"))
    found = analyse(check_tidy(pl.concat([frame, more])), Question(resamples=0)).scores
    assert found["published"].unique().to_list() == [""]


def test_the_lower_panel_differs_by_the_upper(frame: pl.DataFrame) -> None:
    results = analyse(frame, Question(resamples=0))
    panel = verdict_panel(results)
    gain = mean_scores(results, panel, "value") - mean_scores(results, panel, "against")
    assert gain[0] == pytest.approx(results.smallest.estimate)
    assert gain[-1] == pytest.approx(results.largest.estimate)


def test_no_interval_is_drawn_where_nothing_is_tested(frame: pl.DataFrame) -> None:
    one = analyse(frame.filter(pl.col("seed") == 0), Question(resamples=0))
    for results, lines in ((one, 0), (analyse(frame, Question(resamples=0)), 1)):
        assert len(size_curve(results).axes[0].collections) == lines


def test_no_axis_spans_next_to_nothing() -> None:
    flat = study(gain=lambda u, *_: 0.0, baseline=lambda u, *_: 60.0, run_sd=0.01, language_sd=0.01)
    upper, lower = size_curve(analyse(check_tidy(flat), Question(resamples=0))).axes
    assert np.ptp(upper.get_ylim()) >= 2
    assert np.ptp(lower.get_ylim()) >= 4
