"""Labels of runs by English dev scores, and the arms that collapse leaves in the panel."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.collapse import collapse_table, far_below, label_counts, label_runs
from analysis.load import check_tidy
from analysis.panel import balance, make_panel, mean_weights, size_table
from analysis.sensitivity import worst_case
from scaling.study.question import Question
from tests.helpers.synthetic import study


def test_a_run_far_below_its_siblings() -> None:
    dev = np.array([0.80, 0.81, 0.79, 0.80, 0.65, 0.80])
    assert far_below(dev).tolist() == [False] * 4 + [True, False]
    assert not far_below(dev[:5]).any()  # five runs have no middle to fall out of
    half = np.array([0.80, 0.81, 0.79, 0.01, 0.02, 0.01])
    assert far_below(half).tolist() == [False] * 3 + [True] * 3
    assert not far_below(np.array([0.60, 0.64, 0.68, 0.62, 0.66, 0.70])).any()
    assert far_below(np.array([[*dev, np.nan]])).tolist() == [[False] * 4 + [True, False, False]]


def _dev(frame: pl.DataFrame, run: pl.Expr, score: float, num: int | None) -> pl.DataFrame:
    spread = 0.8 + 0.004 * pl.col("seed")
    return frame.with_columns(
        pl.when(run).then(score).otherwise(spread).alias("english_dev"),
        pl.lit(num, dtype=pl.Int64).alias("english_dev_n"),
        pl.lit(0.0).alias("chance"),
    )


ONE = (
    (pl.col("model") == "xlm-r-xxl")
    & (pl.col("arm") == "mnli")
    & (pl.col("seed") == 1)
    & (pl.col("target") == "panx")
)


@pytest.mark.parametrize(
    ("score", "num", "want"),
    [
        (0.01, 2000, "collapsed"),
        (0.6, 2000, "partial"),
        (0.01, 60, "not judged"),
        (0.6, None, "partial"),
    ],
)
def test_labels_are_graded(score: float, num: int | None, want: str) -> None:
    frame = _dev(study(targets={"panx": ("sw", "te")}), ONE, score, num)
    found = label_runs(check_tidy(frame))
    assert set(found.filter(ONE)["label"]) == {want}
    assert found.filter(ONE)["collapsed"].all() == (want in ("collapsed", "partial"))
    others = set(found.filter(~ONE)["label"])
    assert others == ({"not judged"} if want == "not judged" else {"converged"})
    assert dict(label_counts(found).iter_rows())[want] >= 1


def test_runs_that_cannot_be_judged_stay_in_and_are_said(question: Question) -> None:
    frame = _dev(study(targets={"panx": ("sw", "te")}), ONE, 0.01, 60)
    found = analyse(check_tidy(frame), question)
    assert found.worst is None
    assert not found.gains["collapsed"].any()


def test_one_checkpoint_that_collapsed_is_one_event() -> None:
    frame = study(targets={name: ("sw",) for name in ("panx", "xquad", "udpos")}, arms=("mnli",))
    dead = (pl.col("arm") == "mnli") & (pl.col("seed") == 0) & (pl.col("model") == "xlm-r-xxl")
    frame = frame.with_columns((pl.col("collapsed") | dead).alias("collapsed"))
    table = collapse_table(frame, size_table(frame, "total_params"))
    row = table.filter((pl.col("arm") == "mnli") & (pl.col("model") == "xlm-r-xxl"))
    assert row.select("collapsed", "runs").row(0) == (1, 3)


def test_an_arm_keeps_its_share_when_its_series_are_lost() -> None:
    frame = study(targets={"panx": ("sw",), "udpos": ("sw",)})
    gone = (pl.col("arm") == "mnli") & (pl.col("target") == "panx")
    series = frame.filter(pl.col("arm") != "none").select("arm", "target", "language").unique()
    left = series.filter(~gone).sort("arm", "target")
    weights = mean_weights(left, series)
    shares = dict(
        left.with_columns(pl.Series("w", weights)).group_by("arm").agg(pl.sum("w")).iter_rows()
    )
    assert shares == pytest.approx({"mnli": 0.5, "squad1": 0.5})


def test_the_last_seed_of_an_arm_keeps_it_in_the_panel() -> None:
    gains = study(targets={"panx": ("sw", "te")}).filter(pl.col("arm") != "none")
    lost = (pl.col("arm") == "mnli") & (pl.col("model") == "xlm-r-xxl") & (pl.col("seed") > 0)
    gains = gains.filter(~lost).with_columns(pl.lit(1.0).alias("points"))
    panel = balance(make_panel(gains, size_table(gains, "total_params"), "points"))
    assert set(panel.series["arm"]) == {"mnli", "squad1"}


def test_the_worst_case_bounds_what_lost_runs_could_say(question: Question) -> None:
    frame = study(gain=lambda u, *_: 4 - 2 * u, collapse_rate=0.1, seeds=5, seed=1)
    found = analyse(check_tidy(frame), question)
    assert found.worst is not None
    low, high = found.worst
    assert low < found.primary.estimate < high
    assert worst_case(found.gains.filter(~pl.col("collapsed")), found.sizes, pl.lit(True)) is None
