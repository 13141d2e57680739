"""What a slope says of tasks and checkpoints that were not run."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.generalise import ALL, FACTORS, sampled
from analysis.load import check_tidy
from analysis.sensitivity import CHECKPOINTS
from analysis.sentences import summary
from analysis.slope import slope_weights
from analysis.verdict import THESE_CHECKPOINTS
from scaling.study.question import Question
from tests.helpers.synthetic import study

X = np.array([8.431, 8.740, 9.544, 10.029])
QUIET = {"run_sd": 0.15, "checkpoint_sd": 0.05, "language_sd": 0.2}
TARGETS = {name: ("sw", "te", "jv", "yo") for name in ("panx", "tydiqa", "xcopa")}


def slopes_of_tasks(u: float, arm: str, target: str, language: str) -> float:
    """Slopes of −3, −2 and −1 by target."""
    return 5.0 - (3.0 - list(TARGETS).index(target)) * u


def test_the_spread_of_true_slopes_is_found_without_what_runs_share() -> None:
    true = np.array([-3.0, -2.0, -1.0])
    lines = true[:, None, None] * (X - X.mean())[:, None] + np.zeros((3, 4, 3))
    share = np.full(3, 1 / 3)
    exact = true.var(ddof=1) / 3
    assert sampled(lines, X, share) == pytest.approx(exact)
    shared = np.random.default_rng(0).normal(0, 5.0, (1, 4, 3))
    assert sampled(lines + shared, X, share) == pytest.approx(exact)
    # Noise of their own that explains the scatter leaves nothing.
    own = np.random.default_rng(1).normal(0, 5.0, (3, 4, 3))
    noisy = np.zeros((3, 4, 3)) + own - own.mean(axis=2, keepdims=True)
    assert sampled(noisy, X, share) == 0.0
    assert slope_weights(X) @ lines[0].mean(axis=1) == pytest.approx(-3.0)


def test_intervals_widen_by_what_differs() -> None:
    frame = study(gain=slopes_of_tasks, targets=TARGETS, arms=("mnli", "squad1", "qqp"), **QUIET)
    found = analyse(check_tidy(frame), Question(resamples=0))
    assert found.verdict.call == "DIMINISHES"
    assert THESE_CHECKPOINTS not in found.verdict.qualifiers
    width = {e.name: e.high - e.low for e in found.treatments}
    here = found.primary.high - found.primary.low
    assert width[FACTORS["target"]] > 4 * here
    assert width[FACTORS["arm"]] < 2 * here
    assert width[FACTORS["language"]] < 2 * here
    assert width[ALL] >= max(width[FACTORS["target"]], width[CHECKPOINTS])
    assert "samples of more" in " ".join(summary(found))


def test_two_tasks_have_no_spread() -> None:
    frame = study(targets={"panx": ("sw", "te"), "tydiqa": ("sw", "te")}, arms=("mnli",))
    names = {e.name for e in analyse(check_tidy(frame), Question(resamples=0)).treatments}
    assert names.isdisjoint(FACTORS.values())


def test_a_claim_that_sizes_scatter_around_is_of_these_checkpoints() -> None:
    def jagged(u: float, *_: str) -> float:
        return {0: 4.0, 1: 1.0}.get(round(u * 3), 3.0 if u < 1.3 else 1.0)

    found = analyse(check_tidy(study(gain=jagged, **QUIET)), Question(resamples=0))
    assert found.verdict.call == "DIMINISHES"
    assert THESE_CHECKPOINTS in found.verdict.qualifiers
    two = study(gain=lambda u, *_: 4 - 2 * u, models=("xlm-r-base", "xlm-r-xl"), **QUIET)
    found = analyse(check_tidy(two), Question(resamples=0))
    assert found.verdict.call == "DIMINISHES"
    assert THESE_CHECKPOINTS in found.verdict.qualifiers
    one = two.filter(pl.col("seed") == 0)
    assert analyse(check_tidy(one), Question(resamples=0)).verdict.qualifiers == ()
