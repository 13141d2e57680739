"""A design rehearsed: simulated rows are real rows, and the truth comes out of the verdict."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.load import check_tidy
from analysis.power import Ledger
from analysis.rehearsal import (
    Design,
    Target,
    asked_of,
    rehearse,
    simulated,
    smallest_change,
)
from scaling.study.question import Question

DESIGN = Design(
    params={"base": 270e6, "large": 550e6, "xl": 3.5e9, "xxl": 10.7e9},
    seeds=(3, 3, 3, 2),
    arms=1,
    targets=(
        Target(name="a", languages=("sw", "te", "de"), chance=1 / 3, num_examples=2000),
        Target(name="b", languages=("sw", "ta"), chance=0.0, num_examples=1000, ceiling=0.95),
    ),
)
QUIET = Ledger(replica=0.0, checkpoint=0.01, baseline=0.02, run=0.02, language=0.02)


def test_simulated_rows_are_rows() -> None:
    frame = simulated(
        DESIGN, Ledger(), np.random.default_rng(0), change=0.0, baselines="flat", gain=3.0
    )
    checked = check_tidy(frame.with_columns(pl.col("seed").cast(pl.String).alias("step")))
    assert len(checked) == len(frame) == 2 * 5 * 11
    assert frame.filter(pl.col("model") == "xxl")["seed"].n_unique() == 2


@pytest.mark.parametrize(
    ("change", "form"), [(-3.0, "DIMINISHES"), (3.0, "GROWS"), (0.0, "EQUIVALENT")]
)
def test_the_truth_comes_out(change: float, form: str) -> None:
    found = rehearse(DESIGN, QUIET, Question(), change=change, baselines="flat", studies=8)
    assert max(found.forms, key=lambda name: found.forms[name]) == form
    assert sum(found.forms.values()) == pytest.approx(1)
    assert found.coverage >= 0.7


def test_one_seed_somewhere_is_descriptive() -> None:
    lone = Design(**{**DESIGN.__dict__, "seeds": (3, 3, 3, 1)})
    found = rehearse(lone, QUIET, Question(), change=0.0, baselines="flat", studies=2)
    assert set(found.forms) == {"descriptive only"}


def test_the_smallest_fall_has_an_interval() -> None:
    found = smallest_change(DESIGN, QUIET, Question(), baselines="flat", studies=12)
    assert 0 <= found.low < found.at < found.high
    assert found.at < 3
    loud = Ledger(replica=100.0)
    nothing = smallest_change(DESIGN, loud, Question(), baselines="flat", studies=4)
    assert nothing.at == nothing.high == float("inf")


def test_only_the_languages_of_the_verdict_are_simulated() -> None:
    kept = asked_of(DESIGN, Question()).targets
    assert [target.languages for target in kept] == [("sw", "te"), ("sw",)]
    rich = Design(**{**DESIGN.__dict__, "targets": (DESIGN.targets[0],)})
    only = asked_of(rich, Question(low_resource_languages=("sw",)))
    assert [target.languages for target in only.targets] == [("sw",)]
