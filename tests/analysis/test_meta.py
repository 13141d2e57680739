"""Several studies together, against closed forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from analysis.load import BadInput
from analysis.meta import combine, combined_reports, combined_verdicts


def verdict(slope: float, se: float, **other: object) -> dict[str, object]:
    """What a verdict.json holds of one study."""
    e = {"estimate": slope, "se": se}
    slopes = {f"slope_{scale}": e for scale in ("points", "logit", "room")}
    return {
        "verdict": "INCONCLUSIVE",
        "family": "xlm-r",
        "method": "full",
        "population": "low-resource",
        "x_axis": "total_params",
        **slopes,
        **other,
    }


def test_equal_errors_give_the_t_interval_of_the_slopes() -> None:
    slopes = np.array([-3.0, -1.0, 0.5, -2.0])
    found = combine(slopes, np.full(4, 0.3))
    assert found.estimate == pytest.approx(slopes.mean())
    assert found.tau == pytest.approx(np.sqrt(slopes.var(ddof=1) - 0.09))
    half = t.ppf(0.975, 3) * slopes.std(ddof=1) / 2
    assert (found.low, found.high) == pytest.approx((slopes.mean() - half, slopes.mean() + half))
    assert found.expected_low < found.low


def test_studies_that_agree_are_never_narrower_than_their_errors_allow() -> None:
    found = combine(np.array([-1.0, -1.0, -1.0]), np.array([0.5, 0.5, 0.5]))
    assert found.tau == 0.0
    assert found.high - found.low == pytest.approx(2 * t.ppf(0.975, 2) * 0.5 / np.sqrt(3))


def test_precise_studies_weigh_more() -> None:
    found = combine(np.array([0.0, 10.0]), np.array([0.1, 30.0]))
    assert abs(found.estimate) < 0.1
    assert found.high > 1.0
    assert np.isnan(found.expected_low)


def test_only_tested_studies_of_one_population_are_put_together() -> None:
    both = [verdict(-1.0, 0.2), verdict(-2.0, 0.2)]
    assert [one.studies for one in combined_verdicts(both)] == [2, 2, 2]
    assert combined_verdicts([*both[:1], verdict(-2.0, 0.2, verdict=None)]) == []
    assert combined_verdicts([*both[:1], verdict(-2.0, 0.2, x_axis="train_flops")]) == []
    assert combined_verdicts([*both[:1], verdict(-2.0, 0.2, family="mt5")]) == []
    assert combined_verdicts([*both[:1], verdict(-2.0, 0.2, method="lora-r8")]) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is no verdict of a report"),
        ("{", "is no verdict of a report"),
        (json.dumps(verdict(1.0, 1.0, verdict=None)), "tests nothing"),
        (json.dumps(verdict(1.0, 1.0, population="all zero-shot")), "differ in their population"),
        (json.dumps(verdict(1.0, 1.0, family="mt5")), "differ in their family: mt5, xlm-r"),
        (json.dumps({"verdict": "GROWS"}), "does not say its family"),
    ],
)
def test_reports_that_do_not_fit_are_named(tmp_path: Path, content: str | None, says: str) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "verdict.json").write_text(json.dumps(verdict(-1.0, 0.2)))
    if content is not None:
        (folders[1] / "verdict.json").write_text(content)
    with pytest.raises(BadInput, match=says):
        combined_reports(folders)
    (folders[1] / "verdict.json").write_text(json.dumps(verdict(-2.0, 0.2)))
    assert combined_reports(folders)[0].estimate == pytest.approx(-1.5)
