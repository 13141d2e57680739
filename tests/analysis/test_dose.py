"""Doses of one intermediate task."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.dose import dose_table
from analysis.gains import pair_gains, with_languages
from analysis.panel import size_table
from scaling.study.question import Question
from tests.helpers.synthetic import study

MODELS = ("xlm-r-base", "xlm-r-xl")
DOSE = {"short": 1.0, "middle": 3.0, "long": 10.0, "other": 30.0}


def doses() -> pl.DataFrame:
    """A study of three doses of one task and of another task: 2 points per tenfold dose."""
    frame = study(
        gain=lambda u, arm, target, language: 1.0 + 2.0 * float(np.log10(DOSE[arm])),
        models=MODELS,
        arms=tuple(DOSE),
        targets={"panx": ("sw", "te", "en"), "tydiqa": ("sw",)},
        baseline=lambda u, *_: 60.0,
        run_sd=0.1,
        checkpoint_sd=0.05,
        language_sd=0.05,
    )
    extra = pl.col("arm").replace_strict(DOSE, default=0.0)
    task = pl.col("arm").replace_strict({"none": "", "other": "squad1"}, default="mnli")
    return frame.with_columns(
        ((1.0 + extra) * 1e6 * pl.col("backbone_params")).alias("train_flops"),
        task.alias("intermediate"),
    )


def table_of(frame: pl.DataFrame) -> pl.DataFrame:
    gains = with_languages(pair_gains(frame), Question())
    return dose_table(frame, gains, size_table(frame, "total_params"))


def test_the_slope_over_doses_of_one_task_is_found_at_every_size() -> None:
    found = table_of(doses())
    assert found["model"].to_list() == list(MODELS)
    assert set(found["intermediate"]) == {"mnli"}
    assert set(found["arms"]) == {"short, middle, long"}
    assert set(found["doses"]) == {"1 : 3 : 10"}
    for row in found.iter_rows(named=True):
        assert row["low"] < 2.0 < row["high"]
        assert row["slope"] == pytest.approx(2.0, abs=0.3)
        assert (row["seeds"], row["num_series"]) == (3, 3)


def test_what_the_doses_share_does_not_move_their_slope() -> None:
    frame = doses()
    bare = pl.col("arm") == "none"
    shifted = frame.with_columns(
        pl.when(bare)
        .then(pl.col("value") - 0.05 * pl.col("seed"))
        .otherwise("value")
        .alias("value")
    )
    before, after = table_of(frame), table_of(shifted)
    for name in ("slope", "low", "high"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-9)


def test_only_pairs_that_all_doses_have_count() -> None:
    frame = doses()
    lost = (pl.col("arm") == "long") & (pl.col("target") == "tydiqa")
    assert set(table_of(frame.filter(~lost))["num_series"]) == {2}


def test_different_tasks_and_equal_doses_are_no_dose_response() -> None:
    frame = doses()
    assert table_of(frame.filter(pl.col("arm").is_in(["none", "long", "other"]))).is_empty()
    equal = frame.with_columns(
        pl.when(pl.col("arm") == "none").then(1e15).otherwise(2e15).alias("train_flops")
    )
    assert table_of(equal).is_empty()
