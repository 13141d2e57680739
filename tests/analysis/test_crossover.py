"""What a point costs, and from which size on phase ii is not worth it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.crossover import Crossover
from analysis.load import check_tidy
from analysis.report import write_report
from analysis.view_sentences import crossover_sentences
from scaling.catalogue.models import MODELS
from scaling.study.question import Question
from tests.helpers.panels import X
from tests.helpers.synthetic import XLMR, study

QUIET = {"run_sd": 0.1, "checkpoint_sd": 0.05, "language_sd": 0.05, "n": 100_000}


def prices(frame: pl.DataFrame, worth: float | None) -> Crossover:
    found = analyse(check_tidy(frame), Question(resamples=0, point_worth=worth)).crossover
    assert found is not None
    return found


def test_the_price_of_a_point_is_the_cost_over_the_gain() -> None:
    found = prices(study(gain=lambda u, *_: 4 - 2 * u, **QUIET), None)
    params = np.array([MODELS[name].total_params for name in XLMR], dtype=float)
    u = np.log10(params / params[0])
    np.testing.assert_allclose(found.costs.phase_two, 0.25 * 10**u, rtol=0.02)
    # Two targets, half of the price of a cell with phase ii each.
    np.testing.assert_allclose(found.costs.without, 0.5 * 10**u, rtol=0.02)
    np.testing.assert_allclose(found.table["price"], 0.25 * 10**u / (4 - 2 * u), rtol=0.15)
    assert (found.table["price_low"] < found.table["price"]).all()
    assert (found.table["price_high"] > found.table["price"]).all()


def test_the_crossover_is_where_the_cost_passes_the_worth() -> None:
    frame = study(gain=lambda u, *_: 4 - 2 * u, **QUIET)
    grid = np.linspace(0, X[-1] - X[0], 10_001)
    true = (
        MODELS[XLMR[0]].total_params
        * 10 ** grid[np.flatnonzero(4 - 2 * grid > 0.25 * 10**grid)[-1]]
    )
    crossing = prices(frame, 1.0).crossing
    assert crossing is not None
    assert crossing.at == pytest.approx(true, rel=0.05)
    assert crossing.low < true < crossing.high
    nothing = prices(frame, 0.01).crossing
    assert nothing is not None
    assert nothing.at == nothing.low == nothing.high == 0.0
    everything = prices(frame, 1e6).crossing
    assert everything is not None
    assert everything.at == everything.high == float("inf")


def test_without_a_worth_the_crossover_is_where_the_gain_ends() -> None:
    crossing = prices(study(gain=lambda u, *_: 2 - 2 * u, **QUIET), None).crossing
    assert crossing is not None
    assert crossing.at == pytest.approx(2.7e9, rel=0.1)
    assert crossing.low < 2.7e9 < crossing.high


def test_where_phase_two_costs_nothing_there_is_no_price() -> None:
    frame = study().with_columns(pl.lit(1.0).alias("dollars"))
    results = analyse(check_tidy(frame), Question(resamples=0))
    assert results.crossover is None
    assert "is not known" in crossover_sentences(results)[0]


def test_hours_where_a_price_is_missing() -> None:
    frame = study().with_columns(pl.lit(None, dtype=pl.Float64).alias("dollars"))
    found = prices(frame, None)
    assert found.costs.unit == "device hours"
    assert found.costs.phase_two[0] == pytest.approx(30 / 3600)


def test_a_tested_study_says_its_crossover(tmp_path: Path) -> None:
    frame = study(gain=lambda u, *_: 4 - 2 * u, targets={"panx": ("sw", "te", "mr")}, **QUIET)
    write_report(frame, question=Question(resamples=0, point_worth=1.0), title="two", out=tmp_path)
    said = json.loads((tmp_path / "verdict.json").read_text())["crossover"]
    assert said["low"] < said["at"] < said["high"]
    page = (tmp_path / "index.html").read_text()
    assert "phase ii is not worth its cost" in page
    assert 'id="f12_foresight"' in page
