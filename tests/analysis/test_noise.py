"""The variance rule: coverage where the rules before it failed, and the silence of single seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.noise import half_width, posterior, shapes, tail
from analysis.slope import Contrast, contrast, slope, slope_weights, t_quantile

X = np.array([8.431, 8.740, 9.544, 10.029])
W = slope_weights(X)


def _replicas(seeds: tuple[int, ...], sds: tuple[float, ...], studies: int) -> NDArray[np.float64]:
    r = np.random.default_rng(0).standard_normal((studies, 4, max(seeds))) * np.array(sds)[:, None]
    for i, num in enumerate(seeds):
        r[:, i, num:] = np.nan
    return r


def _covers(result: Contrast) -> float:
    low, high = result.interval()
    return float(((low <= 0) & (high >= 0)).mean())


RISING = (1.0, 1.36, 3.08, 5.0)


def test_noise_that_rises_with_fewer_seeds_is_covered() -> None:
    r = _replicas((5, 5, 3, 2), RISING, 800)
    assert _covers(slope(r, X)) > 0.92
    # Taken out, the rule of equal variances covers 70 %: the mutation that this line guards.
    assert _covers(slope(r, X).equal_variances()) < 0.8


def test_the_largest_size_has_the_same_rule() -> None:
    r = _replicas((3, 3, 2, 2), RISING, 800)
    assert _covers(contrast(r, np.eye(4)[3], X)) > 0.9


def test_five_seeds_at_every_size_are_welch() -> None:
    result = slope(_replicas((5, 5, 5, 5), RISING, 50), X)
    assert result.welch.all()
    np.testing.assert_allclose(result.se, result.se_welch)
    assert not slope(_replicas((5, 5, 5, 4), RISING, 5), X).welch.any()


def test_one_seed_says_nothing_about_another_run() -> None:
    r = _replicas((5, 5, 5, 1), RISING, 3)
    assert np.isnan(slope(r, X).half()).all()
    assert np.isnan(contrast(r, np.eye(4)[3], X).p).all()
    assert np.isfinite(contrast(r, np.eye(4)[0], X).half()).all()


@pytest.mark.parametrize("seeds", [3, 5])
def test_identical_replicas_say_nothing_about_another_run(seeds: int) -> None:
    """Neither a gain of nothing nor one that changes is certain because runs coincide."""
    # Means as panels form them: equal up to rounding only.
    jitter = 1e-14 * np.random.default_rng(0).standard_normal((2, 4, seeds))
    r = np.stack([np.zeros((4, seeds)), np.arange(4.0)[:, None].repeat(seeds, 1)]) + jitter
    for result in (slope(r, X), contrast(r, np.eye(4)[3], X)):
        assert np.isnan(result.half()).all()
        assert np.isnan(result.p).all()
        assert np.isnan(result.equal_variances().half()).all()


def test_a_size_of_identical_replicas_borrows_the_noise_of_the_others() -> None:
    r = _replicas((5, 5, 5, 5), RISING, 50)
    r[:, 3] = 2.0
    last = contrast(r, np.eye(4)[3], X)
    assert not last.welch.any()
    assert (last.half() > 0.01).all()
    assert (last.p > 0).all()


def test_the_rule_has_no_unit() -> None:
    r = _replicas((3, 3, 2, 2), RISING, 20)
    one, other = slope(r, X), slope(1000 * r, X)
    np.testing.assert_allclose(1000 * one.half(), other.half(), rtol=1e-6)
    np.testing.assert_allclose(one.p, other.p)
    stretched = slope(r, 3 * X)
    np.testing.assert_allclose(one.half() / 3, stretched.half(), rtol=1e-6)


def test_interval_and_p_value_are_one_test() -> None:
    result = slope(_replicas((3, 3, 2, 2), RISING, 300), X)
    low, high = result.interval()
    np.testing.assert_array_equal((low > 0) | (high < 0), result.p < 0.05)


def test_a_certain_shape_gives_students_t() -> None:
    weight, spread = np.array([[1.0, 0.0]]), np.array([[2.0, 50.0]])
    df = np.array([8.0])
    level = 1 - 0.05 / 1.2
    assert half_width(weight, spread, df, level) == pytest.approx(
        2 * t_quantile(0.975, df), rel=1e-4
    )
    assert tail(2 * t_quantile(0.975, df), weight, spread, df) == pytest.approx(0.05 / 1.2)


def test_the_posterior_follows_the_data() -> None:
    v, prior = shapes(X)
    assert np.exp(prior).sum() == pytest.approx(1)
    weight, level, df, _ = posterior(np.full(4, 200.0), np.array([1.0, 1.0, 1.0, 25.0]), X)
    assert df == 796
    best = int(weight.argmax())
    assert v[best, 3] / v[best, 0] > 8
    assert level[best] > 0
