"""A quick A1, and the mutation that must break it: the whole of A1–A10 is `make
bench-calibration`.
"""

from __future__ import annotations

import numpy as np

from analysis.panel import replicas
from analysis.shrink import benjamini_hochberg, languages, squeeze
from analysis.slope import p_value, slope, t_quantile

X = np.array([8.431, 8.740, 9.544, 10.029])


def _gains(icc: float, studies: int = 600) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((studies, 4, 3, 1))
    return np.sqrt(icc) * shared + np.sqrt(1 - icc) * rng.standard_normal((studies, 4, 3, 40))


def _coverage(r: np.ndarray) -> float:  # type: ignore[type-arg]
    result = slope(r, X)
    return float((np.abs(result.estimate) <= t_quantile(0.975, result.df) * result.se).mean())


def test_replicas_cover_and_rows_do_not() -> None:
    y = _gains(icc=0.25)
    assert 0.95 < _coverage(replicas(y, np.full(40, 1 / 40))) < 0.995
    # A14: rows in the place of (size, seed) replicas.
    assert _coverage(y.reshape(len(y), 4, -1)) < 0.6


def test_shrinkage_covers_and_is_closer() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(0, 0.3, size=(150, 40))
    y = np.moveaxis(_gains(0.25, 150), -1, 1) + true[:, :, None, None] * (X - X.mean())[:, None]
    fit = languages(y, X)
    covered = np.abs(fit.eb - true) <= t_quantile(0.975, fit.eb_df) * fit.eb_se
    assert covered.mean() > 0.92
    assert ((fit.eb - true) ** 2).mean() < ((fit.slope - true) ** 2).mean()


def test_false_discoveries_stay_rare_when_nothing_changes() -> None:
    fit = languages(np.moveaxis(_gains(0.25), -1, 1), X)
    q = benjamini_hochberg(p_value(fit.slope, fit.se, fit.df))
    assert (q <= 0.05).any(axis=1).mean() < 0.08


def test_q_values_by_hand() -> None:
    q = benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.03, 0.5]))
    np.testing.assert_allclose(q, [0.04, 0.16 / 3, np.nan, 0.16 / 3, 0.5])


def test_moderation_pulls_towards_the_middle() -> None:
    v = np.array([0.1, 0.5, 1.0, 2.0, 10.0])
    shrunk, df = squeeze(v, np.full(5, 10.0))
    assert (df > 10).all()
    assert shrunk[0] > v[0]
    assert shrunk[-1] < v[-1]
    assert (np.diff(shrunk) > 0).all()
