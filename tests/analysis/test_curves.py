"""Curves, shapes, power, collapse: against closed forms and the numbers of the specification."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.bootstrap import slope_bands
from analysis.collapse import trend_p, wilson
from analysis.curves import (
    EXPONENTS,
    TRIED,
    exponent_interval,
    fit_saturating,
    fitted_curves,
    leave_largest_out,
    predict_saturating,
)
from analysis.panel import Panel, TooFewScales
from analysis.power import (
    Ledger,
    detectable,
    equivalence_power,
    next_seeds,
    planned_grid,
    power_of,
    seeds_needed,
    seeds_to_affirm,
)
from analysis.sensitivity import permutation_p
from analysis.shapes import candidates, shape_test
from analysis.slope import slope, slope_weights

X = np.array([8.431, 8.740, 9.544, 10.029])


def test_saturating_finds_the_truth_on_the_grid() -> None:
    b = EXPONENTS[20]
    limit, amplitude = np.array([1.0, 2.0, -1.0]), np.array([3.0, -2.0, 0.5])
    y = limit[:, None] + amplitude[:, None] * 10.0 ** (-b * (X - X[0]))
    fit = fit_saturating(y, X)
    assert fit.exponent == pytest.approx(b)
    np.testing.assert_allclose(fit.limit, limit, atol=1e-9)
    np.testing.assert_allclose(fit.amplitude, amplitude, atol=1e-9)
    np.testing.assert_allclose(predict_saturating(y, X, X), y, atol=1e-6)


@pytest.mark.parametrize("b", [0.3, 1.0, 1.7])
def test_the_exponent_is_found_between_grid_points(b: float) -> None:
    noise = np.random.default_rng(1).normal(size=(4, 3))
    noise = 0.001 * (noise - noise.mean(axis=1, keepdims=True))
    mean = 2.0 + 3.0 * 10.0 ** (-b * (X - X[0]))
    found = exponent_interval(mean[:, None] + noise, X)
    assert found.identified
    assert found.estimate == pytest.approx(b, rel=1e-3)
    assert found.low < b < found.high
    assert found.low not in TRIED and found.high not in TRIED


def test_noise_and_no_change_leave_the_exponent_unidentified() -> None:
    rng = np.random.default_rng(0)
    assert not exponent_interval(rng.normal(size=(4, 3)), X).identified
    assert not exponent_interval(2.0 + 0.3 * rng.normal(size=(4, 5)), X).identified
    one = exponent_interval(np.array([[1.0], [2.0], [3.0], [4.0]]), X)
    assert not one.identified
    with pytest.raises(TooFewScales, match="four sizes"):
        exponent_interval(np.zeros((3, 3)), X[:3])


def test_too_few_sizes_are_refused() -> None:
    with pytest.raises(TooFewScales, match="four sizes"):
        fit_saturating(np.zeros((5, 3)), X[:3])
    with pytest.raises(TooFewScales, match="three sizes"):
        leave_largest_out(np.zeros((5, 2)), X[:2])
    with pytest.raises(TooFewScales, match="three sizes"):
        shape_test(np.zeros((2, 3)), X[:2])


def test_leave_largest_out_prefers_the_truth() -> None:
    rng = np.random.default_rng(0)
    line = 4 - 1.5 * (X - X[0]) + 0.05 * rng.normal(size=(20, 4))
    assert (
        min(leave_largest_out(line, X), key=leave_largest_out(line, X).__getitem__)
        == "linear in log scale"
    )
    curve = 1 + 5 * 10.0 ** (-2 * (X - X[0])) + 0.02 * rng.normal(size=(20, 4))
    errors = leave_largest_out(curve, X)
    assert errors["saturating, shared exponent"] < errors["linear in log scale"]


def one_series(gains: list[float]) -> Panel:
    """A panel of one series and one seed: gains by size."""
    return Panel(
        models=tuple("abcd"),
        labels=tuple("abcd"),
        x=X,
        seeds=(0,),
        series=pl.DataFrame({"arm": ["mnli"], "target": ["xnli"], "language": ["sw"]}),
        y=np.array(gains)[:, None, None],
    )


@pytest.mark.parametrize(
    ("gains", "isotonic"),
    [
        ([3.0, 1.0, 2.0, 0.0], [3.0, 1.5, 1.5, 0.0]),
        ([0.0, 2.0, 1.0, 3.0], [0.0, 1.5, 1.5, 3.0]),
        ([3.0, 4.0, 2.0, -1.0], [3.5, 3.5, 2.0, -1.0]),
        ([2.0, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, 2.0]),
    ],
)
def test_the_isotonic_curve_runs_as_the_slope_does(
    gains: list[float], isotonic: list[float]
) -> None:
    found = fitted_curves(one_series(gains))["isotonic"].to_numpy()
    np.testing.assert_allclose(found, isotonic, atol=1e-12)


@given(st.lists(st.floats(-20, 20), min_size=4, max_size=4))
def test_the_isotonic_curve_is_the_nearest_monotone_one(gains: list[float]) -> None:
    y, falls = np.array(gains), bool(slope_weights(X) @ np.array(gains) < 0)
    sign = -1.0 if falls else 1.0
    # Min-max formula (Barlow et al. 1972): the least of the greatest means of blocks around a size.
    expected = [
        sign * max(min((sign * y)[j : k + 1].mean() for k in range(i, 4)) for j in range(i + 1))
        for i in range(4)
    ]
    found = fitted_curves(one_series(gains))["isotonic"].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_shapes_and_their_p_value() -> None:
    assert len(candidates(X)) == 5
    assert list(candidates(np.array([0.0, 1.0]))) == ["linear in log scale"]
    r = np.random.default_rng(0).normal(size=(500, 4, 3))
    result = shape_test(r, X)
    assert (result.p < 0.05).mean() < 0.08
    step = np.where(np.arange(4) < 3, 2.0, 0.0)[:, None] + 0.2 * np.random.default_rng(1).normal(
        size=(4, 3)
    )
    found = shape_test(step, X)
    assert found.names[int(found.best)] == "step at size 4"
    assert float(found.p) < 0.01


def test_detectable_slopes_of_the_specification() -> None:
    # statistics §4.4: gain SD → smallest slope with 80 % power at 3, 5, 10 seeds.
    for sd, want in {
        0.25: (0.36, 0.26, 0.18),
        1.0: (1.46, 1.05, 0.72),
        1.4: (2.04, 1.47, 1.01),
    }.items():
        got = [detectable(sd, X, [seeds] * 4) for seeds in (3, 5, 10)]
        np.testing.assert_allclose(got, want, atol=0.011)
    assert detectable(1.0, X[:3], [3] * 3) == pytest.approx(2.39, abs=0.01)
    assert np.isnan(detectable(1.0, X, [1] * 4))


def test_equivalence_power_of_the_specification() -> None:
    got = [equivalence_power(0.5, 0.43, X, [seeds] * 4) for seeds in (3, 5, 10)]
    np.testing.assert_allclose(got, [0.52, 0.87, 0.997], atol=0.01)


def test_seeds_and_power_agree() -> None:
    seeds = seeds_needed(0.5, 0.6, X)
    assert seeds is not None
    assert power_of(0.5, 0.6, X, [seeds] * 4) >= 0.8 > power_of(0.5, 0.6, X, [seeds - 1] * 4)
    assert seeds_needed(0.01, 5.0, X) is None
    assert seeds_to_affirm(0.5, 0.43, X) in (4, 5)


def test_advice_goes_where_it_pays() -> None:
    free = next_seeds([1.0] * 4, X, [3, 3, 3, 3], [1, 1, 1, 1], ["a", "b", "c", "d"], "$")
    assert free[0].size == "d"  # the largest weight of the contrast
    dear = next_seeds([1.0] * 4, X, [3, 3, 3, 3], [1, 1, 1, 1000], ["a", "b", "c", "d"], "$")
    assert dear[0].size == "a"


def test_baselines_do_not_average_out_over_arms() -> None:
    ledger = Ledger(baseline=1.0, run=0.0, checkpoint=0.0, language=0.0)
    assert ledger.pooled_variance(arms=9, targets=1, languages=50) == 1.0
    assert [
        row["seeds"]
        for row in planned_grid(ledger, X, arms=1, targets=4, languages=5, seeds=(3, 5))
    ] == [3, 5]


def test_bootstrap_band_is_near_the_t_interval() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(4, 5, 50))
    low, high = slope_bands(y, X, 2000, 0)
    result = slope(np.moveaxis(y, -1, 0), X)
    ratio = np.median((high - low) / (2 * 2.12 * result.se_pooled))
    assert 0.85 < ratio < 1.15
    again = slope_bands(y, X, 2000, 0)
    assert (again[0] == low).all()
    y[0, 0, 3] = np.nan
    assert np.isnan(slope_bands(y, X, 100, 0)[0][3])


def test_permutation_agrees_with_the_equal_variance_t() -> None:
    r = np.random.default_rng(3).normal(size=(4, 4)) - 0.8 * (X - X.mean())[:, None]
    expected = float(slope(r, X).equal_variances().p)
    assert permutation_p(r, X, 4000, 0) == pytest.approx(expected, abs=0.05)


def test_collapse_trend() -> None:
    assert trend_p([0, 0, 0, 0], [9, 9, 9, 9]) == 1.0
    assert trend_p([0, 0, 1, 6], [9, 9, 9, 9]) < 0.01
    # Two sizes: Fisher's exact test on 3 of 3 against 0 of 3.
    assert trend_p([0, 3], [3, 3]) == pytest.approx(0.1)
    low, high = wilson(np.array([0, 5]), np.array([10, 10]))
    assert low[0] == 0
    assert high[0] == pytest.approx(0.2775, abs=1e-3)
    assert low[1] == pytest.approx(0.2366, abs=1e-3)
