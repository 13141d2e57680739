"""Pairing, panels, slopes: by hand, and the properties that must hold for any study."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.analyse import analyse
from analysis.coverage import coverage_table, missing_cells
from analysis.estimands import PRIMARY, groups, interaction, pooled, retention
from analysis.gains import low_by, pair_gains, with_languages
from analysis.load import check_tidy
from analysis.panel import Panel, TooFewScales, balance, make_panel, replicas, size_table
from analysis.sentences import summary
from analysis.shrink import languages
from analysis.slope import contrast, slope, slope_weights
from analysis.variance import estimate_ledger
from scaling.study.question import Question
from tests.helpers.synthetic import study

X = np.array([8.431, 8.740, 9.544, 10.029])


def low_slope(frame: pl.DataFrame) -> tuple[float, float, float]:
    gains = with_languages(pair_gains(check_tidy(frame)), Question())
    panel = make_panel(gains.filter(PRIMARY), size_table(frame, "total_params"), "points")
    e = pooled(panel, pl.col("low"), "low", "points")[0]
    return e.estimate, e.low, e.high


def test_a_language_of_unknown_text_is_neither_low_nor_another() -> None:
    frame = study(models=("xlm-r-base", "xlm-r-xl"), targets={"panx": ("sw", "de", "yue", "ary")})
    gains = with_languages(pair_gains(check_tidy(frame)), Question())
    assert low_by(["sw", "de", "yue", "ary"], "cc100", "xlm-r") == {"sw"}
    panel = make_panel(gains.filter(PRIMARY), size_table(frame, "total_params"), "points")
    members = {
        name: set(panel.series.filter(rule)["language"]) for name, rule in groups(panel).items()
    }
    assert members["low-resource"] == {"sw"} and members["other languages"] == {"de"}
    assert members["unknown (tier)"] == {"yue", "ary"}
    assert members["all zero-shot"] == {"sw", "de", "yue", "ary"}
    named = Question(low_resource_languages=("yue",))
    assert with_languages(gains.select("family", "language"), named).filter(pl.col("low"))[
        "language"
    ].unique().to_list() == ["yue"]


def test_weights_of_the_published_sizes() -> None:
    # The numbers that the specification prints for XLM-R.
    np.testing.assert_allclose(slope_weights(X), [-0.470, -0.278, 0.223, 0.524], atol=6e-4)
    assert slope_weights(X) @ X == pytest.approx(1)


def test_slope_by_hand() -> None:
    r = np.array([[4.0, 6.0], [3.0, 3.0], [1.0, 2.0]])
    x = np.array([0.0, 1.0, 2.0])
    result = slope(r, x)
    # means 5, 3, 1.5; weights −½, 0, ½; pooled variance (2 + 0 + ½)/3 on 3 df; se² = (2.5/3)·(¼ +
    # ¼)/2.
    assert result.estimate == pytest.approx(-1.75)
    assert result.se_pooled == pytest.approx((2.5 / 3 * 0.25) ** 0.5)
    assert result.df_pooled == 3
    assert result.se_welch == pytest.approx((0.25 * 1 + 0.25 * 0.25) ** 0.5)


def test_gains_by_hand() -> None:
    frame = study(
        models=("xlm-r-base", "xlm-r-large"),
        arms=("mnli",),
        targets={"panx": ("sw",)},
        seeds=1,
        n=99,
    )
    frame = frame.with_columns(
        pl.when(pl.col("arm") == "none").then(pl.lit(0.5)).otherwise(pl.lit(0.75)).alias("value")
    )
    gain = pair_gains(check_tidy(frame)).row(0, named=True)
    assert gain["points"] == pytest.approx(25)
    assert gain["error"] == pytest.approx(50)
    assert gain["logit"] == pytest.approx(np.log((0.75 * 99 + 0.5) / (0.25 * 99 + 0.5)))


def test_controls_are_not_pooled() -> None:
    roles = {
        "mnli": "single",
        "a-then-b": "sequence",
        "all": "multitask",
        "mix": "mlm-mix",
        "mt": "translated",
        "wiki": "mlm",
        "same-time": "pairwise",
        "swahili": "adapted",
        "longer": "control",
    }
    frame = study(arms=tuple(roles), seeds=1)
    frame = frame.with_columns(pl.col("arm").replace_strict(roles, default="none").alias("role"))
    pooled = pair_gains(check_tidy(frame)).filter(pl.col("pooled"))["arm"].unique()
    assert set(pooled) == {"mnli", "a-then-b", "all"}


def test_dev_rows_and_other_metrics_do_not_count(falling: pl.DataFrame) -> None:
    other = falling.with_columns(
        pl.lit("em").alias("metric"), pl.lit(False).alias("main"), pl.lit(0.0).alias("value")
    )
    dev = falling.filter(pl.col("language") == "en").with_columns(pl.lit("dev").alias("split"))
    assert low_slope(pl.concat([falling, other, dev])) == low_slope(falling)


def test_coverage_counts_every_reason(falling: pl.DataFrame) -> None:
    expected = falling.select("model", "arm", "target", "language", "seed")
    lost = (pl.col("arm") == "none") & (pl.col("target") == "panx") & (pl.col("seed") == 0)
    frame = falling.filter(~lost).with_columns(
        pl.when(pl.col("language") == "sw")
        .then(pl.col("chance"))
        .otherwise(pl.col("value"))
        .alias("value")
    )
    table = coverage_table(frame, pair_gains(frame), expected)
    assert table["missing"].sum() == 4 * 16
    assert table["unpaired"].sum() == 4 * 2 * 16
    assert table.filter(pl.col("same_data") > 0).select("arm", "target").unique().rows() == [
        ("mnli", "xnli")
    ]
    # sw sits at chance everywhere it still exists: 6 runs of each size and seed, less the baseline
    # that is lost.
    assert table["floor"].sum() == 4 * (6 * 3 - 1)
    assert missing_cells(frame, expected)["languages"].to_list() == [16] * 4


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.randoms(use_true_random=False), shift=st.integers(1, 50))
def test_row_order_and_seed_names_change_nothing(falling: pl.DataFrame, order, shift: int) -> None:
    rows = list(range(len(falling)))
    order.shuffle(rows)
    renamed = (
        falling[rows]
        .with_columns((7 * pl.col("seed") + shift).alias("seed"))
        .with_columns(
            pl.when(pl.col("arm") == "none")
            .then(-1)
            .otherwise(pl.col("seed"))
            .alias("intermediate_seed")
        )
    )
    assert low_slope(renamed) == low_slope(falling)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scale=st.floats(0.05, 1.0), offset=st.floats(0.0, 0.01))
def test_affine_scores_scale_the_slope(falling: pl.DataFrame, scale: float, offset: float) -> None:
    changed = falling.with_columns((scale * pl.col("value") * 0.98 + offset).alias("value"))
    np.testing.assert_allclose(
        low_slope(changed), 0.98 * scale * np.array(low_slope(falling)), rtol=1e-8, atol=1e-9
    )


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_series_without_the_largest_size_changes_nothing(
    falling: pl.DataFrame, data: st.DataObject
) -> None:
    # A further arm that was not run at one size is not in the balanced panel, whatever its gains
    # are.
    model = data.draw(st.sampled_from(falling["model"].unique().sort().to_list()))
    extra = falling.filter((pl.col("arm") == "squad1") & (pl.col("model") != model)).with_columns(
        pl.lit("hellaswag").alias("arm"),
        (pl.col("value") * data.draw(st.floats(0.1, 1.0))).alias("value"),
    )
    assert low_slope(pl.concat([falling, extra])) == pytest.approx(low_slope(falling), abs=1e-12)


def test_missing_seeds_keep_the_estimate_unbiased_and_widen_it() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2000, 4, 3, 6))
    lost = rng.random((2000, 4, 3, 6)) < 0.1
    holes = np.where(lost & (lost.sum(axis=2, keepdims=True) <= 1), np.nan, y)
    w = np.full(6, 1 / 6)
    whole, part = slope(replicas(y, w), X), slope(replicas(holes, w), X)
    assert abs(part.estimate.mean()) < 0.03
    assert np.median(part.se) > np.median(whole.se)
    assert ((part.p < 0.05).mean()) < 0.065


def test_an_unbalanced_size_does_not_tilt_the_panel() -> None:
    frame = study(
        gain=lambda u, arm, target, language: 6.0 if target == "xnli" else 1.0,
        run_sd=0.01,
        language_sd=0.01,
        checkpoint_sd=0.01,
        arms=("squad1",),
    )
    frame = frame.filter((pl.col("model") != "xlm-r-xxl") | (pl.col("target") == "xnli"))
    assert low_slope(frame)[0] == pytest.approx(0, abs=0.02)


def test_a_size_with_almost_nothing_is_left_out() -> None:
    y = np.zeros((4, 2, 20))
    y[3, :, 1:] = np.nan
    panel = Panel(
        models=tuple("abcd"),
        labels=tuple("abcd"),
        x=X,
        seeds=(0, 1),
        y=y,
        series=pl.DataFrame(
            {"arm": ["a"] * 20, "target": ["t"] * 20, "language": [f"l{i}" for i in range(20)]}
        ),
    )
    kept = balance(panel)
    assert kept.labels == ("a", "b", "c")
    assert len(kept.series) == 20


def test_one_size_is_refused() -> None:
    with pytest.raises(TooFewScales, match="two sizes"):
        size_table(study(models=("xlm-r-base",), targets={"panx": ("sw",)}), "total_params")


def test_two_sizes_and_another_family_work() -> None:
    frame = study(models=("e5-depth-2", "e5-depth-12"), gain=lambda u, *_: 3.0)
    assert np.isfinite(low_slope(frame)).all()


def test_interaction_finds_a_resource_effect(question: Question) -> None:
    from scaling.catalogue.languages import get_language

    def gain(u: float, arm: str, target: str, language: str) -> float:
        size = get_language(language).cc100_gib
        return 3 + u * (np.log10(size) if size else 0)

    frame = study(gain=gain)
    gains = with_languages(pair_gains(frame), question)
    panel = make_panel(gains.filter(PRIMARY), size_table(frame, "total_params"), "points")
    gamma = interaction(panel, "points")
    assert gamma is not None
    assert gamma.sign == 1
    # The shared noise of a run cancels between its languages.
    assert gamma.se < pooled(panel, None, "all", "points")[0].se


def test_retention_is_unbounded_where_the_first_gain_may_be_zero() -> None:
    def of(level: float) -> tuple[float, float, float]:
        frame = study(gain=lambda u, *_: level * (1 - 0.3 * u), seeds=5)
        gains = with_languages(pair_gains(frame), Question())
        return retention(
            make_panel(gains.filter(PRIMARY), size_table(frame, "total_params"), "points"), None
        )

    ratio, low, high = of(6.0)
    assert low < ratio < high
    assert np.isnan(of(0.05)[1])


def test_ledger_finds_the_shared_parts() -> None:
    frame = study(
        seeds=40,
        models=("xlm-r-base", "xlm-r-large"),
        arms=("squad1", "qqp", "hellaswag"),
        run_sd=1.0,
        checkpoint_sd=0.7,
        language_sd=0.5,
    )
    gains = with_languages(pair_gains(frame), Question())
    panel = make_panel(gains.filter(PRIMARY), size_table(frame, "total_params"), "points")
    ledger, icc = estimate_ledger(panel)
    assert ledger.baseline == pytest.approx(1.0, rel=0.35)
    assert ledger.run == pytest.approx(1.0, rel=0.35)
    assert ledger.checkpoint == pytest.approx(0.49, rel=0.6)
    assert ledger.language == pytest.approx(0.5, rel=0.1)
    assert 0.7 < icc < 0.95


def test_single_size_contrast_uses_the_spread_of_all_sizes() -> None:
    r = np.random.default_rng(2).normal(size=(4, 3))
    assert contrast(r, np.eye(4)[3], X).df == 8


def test_one_seed_of_two_sizes_has_no_centre_and_warns_of_nothing() -> None:
    gains = np.random.default_rng(0).normal(size=(6, 2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = languages(gains, np.array([7.0, 8.0]))
    assert np.isfinite(found.slope).all()
    assert np.isnan(found.centre) and np.isnan(found.eb).all()


def test_a_family_without_a_table_has_unknown_facts() -> None:
    """Nobody says what it read: tiers are unknown, Joshi's classes say who is low, no γ."""
    frame = study(gain=lambda u, *_: 4 - 2 * u)
    other = frame.with_columns(pl.lit("bloom").alias("family"))
    gains = with_languages(pair_gains(other), Question())
    assert gains["tier"].unique().to_list() == ["unknown"]
    assert gains["pretraining_text"].is_null().all()
    low = gains.filter("low")["language"].unique().sort().to_list()
    assert low == ["jv", "mr", "qu", "sw", "te", "yo"]
    found = analyse(check_tidy(other), Question(resamples=0))
    assert found.gammas == {}
    assert {e.name for e in found.estimates["points"]} >= {"low-resource", "other languages"}
    assert any("Joshi" in line for line in summary(found))
    as_xlmr = analyse(check_tidy(other), Question(resamples=0, text_of="xlm-r"))
    assert as_xlmr.primary == analyse(check_tidy(frame), Question(resamples=0)).primary


def flops_of(rows: list[tuple[str, str, float]]) -> pl.DataFrame:
    """Cells of (model, target, FLOPs) with one arm and seed."""
    frame = pl.DataFrame(rows, schema=["model", "target", "train_flops"], orient="row")
    return frame.with_columns(model_label=pl.col("model"), arm=pl.lit("mnli"), seed=pl.lit(0))


def test_a_size_that_ran_the_cheap_target_alone_keeps_its_place() -> None:
    """XXL is ten times XL; over the cells that exist it would look smaller than XL."""
    cells = [("l", "a", 1e16), ("l", "b", 1e18), ("xl", "a", 1e17), ("xl", "b", 1e19)]
    table = size_table(flops_of([*cells, ("xxl", "a", 1e18)]), "train_flops")
    assert table["model"].to_list() == ["l", "xl", "xxl"]
    assert table["x"].to_list() == pytest.approx([16, 17, 18])


def test_sizes_without_a_common_cell_are_linked_by_those_they_share_with_others() -> None:
    cells = [("l", "a", 1e16), ("xl", "a", 1e17), ("xl", "b", 1e19), ("xxl", "b", 1e20)]
    table = size_table(flops_of(cells), "train_flops")
    assert np.diff(table["x"].to_numpy()) == pytest.approx([1, 1])
    with pytest.raises(TooFewScales, match="that no others link"):
        size_table(flops_of([("l", "a", 1e16), ("xl", "b", 1e19)]), "train_flops")


def test_more_seeds_of_the_baseline_count() -> None:
    """Nine baselines and three seeds of the arm: the gain is over the mean of nine, and its spread
    over three stands for σ₁²/3 + σ₀²/9.
    """
    frame = study(targets={"panx": ("sw",)}, arms=("mnli",), seeds=9, n=10**6)
    few = check_tidy(frame.filter((pl.col("arm") == "none") | (pl.col("seed") < 3)))
    one = pl.col("model") == "xlm-r-base"
    gains = pair_gains(few).filter(one)
    after = few.filter(one & (pl.col("arm") == "mnli"))["value"].to_numpy()
    before = few.filter(one & (pl.col("arm") == "none"))["value"].to_numpy()
    assert gains["points"].mean() == pytest.approx(100 * (after.mean() - before.mean()))
    assert gains["against"].to_numpy().std() == pytest.approx(before[:3].std() * np.sqrt(3 / 9))
    paired = pair_gains(few, extra=False).filter(one)
    assert paired["against"].to_list() == gains["baseline"].to_list()
    # As many as the arm has: nothing moves.
    same = pair_gains(check_tidy(frame))
    assert same["against"].to_list() == same["baseline"].to_list()


def test_a_collapsed_extra_baseline_does_not_count() -> None:
    frame = study(targets={"panx": ("sw",)}, arms=("mnli",), seeds=4)
    extra = (pl.col("arm") == "none") & (pl.col("seed") == 3)
    few = frame.filter((pl.col("arm") == "none") | (pl.col("seed") < 3)).with_columns(
        pl.when(extra).then(0.0).otherwise("value").alias("value"),
        pl.when(extra).then(True).otherwise("collapsed").alias("collapsed"),
    )
    gains = pair_gains(check_tidy(few))
    assert gains["against"].to_list() == gains["baseline"].to_list()


def test_a_size_with_more_seeds_keeps_all_of_them() -> None:
    """`seeds: {default: [0, 1, 2], xlm-r-base: [0, 1, 2, 3, 4]}`: paired within each size."""
    quiet = {"run_sd": 0.3, "checkpoint_sd": 0.1, "language_sd": 0.1}
    whole = check_tidy(study(gain=lambda u, *_: 4 - 2 * u, seeds=5, **quiet))  # type: ignore[arg-type]
    unequal = whole.filter((pl.col("model") == "xlm-r-base") | (pl.col("seed") < 3))
    expected = unequal.select("model", "arm", "target", "seed", "language").unique()
    found = analyse(unequal, Question(), expected=expected)
    assert found.primary.seeds == "5 3 3 3"
    assert found.coverage["missing"].sum() == found.coverage["unpaired"].sum() == 0
    assert found.coverage.filter(pl.col("model") == "xlm-r-base")["seeds"].unique().to_list() == [5]
    assert found.primary.low < -2 < found.primary.high
    equal = analyse(whole.filter(pl.col("seed") < 3), Question())
    # What is known of the other sizes is as before.
    assert found.largest.estimate == pytest.approx(equal.largest.estimate)
    assert found.smallest.estimate != pytest.approx(equal.smallest.estimate)
