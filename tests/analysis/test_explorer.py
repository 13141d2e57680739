"""What the page's scripts are given: series in and out of a number, and examples without texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.behind import behind, with_reasons
from analysis.explorer import details_of, write_details
from analysis.load import check_tidy
from analysis.results import Results
from analysis.shown import ShownExamples, shown_of
from scaling.study.question import Question
from tests.helpers.synthetic import study


@pytest.fixture(scope="module")
def results() -> Results:
    """One control, one language that lacks a size, and one arm that collapsed in it."""
    frame = study(
        models=("xlm-r-base", "xlm-r-large", "xlm-r-xl"),
        arms=("mnli", "squad1", "control-x"),
        targets={name: ("en", "sw", "te", "yo", "de") for name in ("panx", "xnli")},
    )
    gone = (pl.col("language") == "yo") & (pl.col("model") == "xlm-r-xl")
    dead = (pl.col("arm") == "squad1") & (pl.col("model") == "xlm-r-xl") & (pl.col("seed") == 0)
    frame = frame.filter(~gone).with_columns(collapsed=pl.col("collapsed") | dead)
    return analyse(check_tidy(frame), Question(resamples=0))


def test_every_group_has_the_series_that_its_estimate_counts(results: Results) -> None:
    found = behind(results)
    counted = {e.name: e.num_series for e in results.estimates["points"] if e.quantity == "slope"}
    for place, group in enumerate(found.groups):
        members = [key for key, bits in found.bits.items() if bits >> place & 1]
        if group.name.startswith("pool:"):
            assert len(members) == counted.pop(group.name.removeprefix("pool:"))
        assert {language for _, _, language in members} <= set(group.languages)
    assert counted == {}


def test_every_record_is_in_or_has_its_reason(results: Results) -> None:
    found = with_reasons(results)
    reasons = dict(found.group_by("left_out").len().iter_rows())
    assert set(reasons) == {
        "",
        "English",
        "not low-resource",
        "a control",
        "both phases train on the same data",
        "collapsed run",
        "series without enough healthy runs at every size",
    }
    assert found["pooled"].to_list() == (found["left_out"] == "").to_list()
    series = found.filter("pooled").select("arm", "target", "language").unique()
    assert len(series) == results.primary.num_series


def test_examples_are_ids_predictions_and_outcomes(results: Results, tmp_path: Path) -> None:
    read: list[str] = []

    def outcomes(step: str) -> pl.DataFrame | None:
        read.append(step)
        right = np.array([1.0, 0.0, 0.0, 0.0, 1.0])
        return pl.DataFrame(
            {
                "key": ["test.sw"] * 5,
                "id": [f"q{k}" for k in range(5)],
                "prediction": [f"</script>{k}" for k in range(5)],
                "accuracy": right,
                "accuracy@0.33": 1 - right,
            }
        )

    shown = ShownExamples(outcomes)
    found = details_of(results, shown)
    assert len(read) == len(set(read))
    examples = found.chunks[found.head["targets"]["panx"]["examples"]]
    step = results.gains.filter(pl.col("target") == "panx")["step"][0]
    assert [(name, value) for name, _, value in examples[step]["sw"]] == [
        ("q0", 1.0),
        ("q1", 0.0),
        ("q2", 0.0),
    ]
    write_details(found, tmp_path)
    for name, chunk in found.chunks.items():
        text = (tmp_path / f"{name}.js").read_text()
        assert "</script" not in text
        head, _, body = text.partition(",")
        assert head == f'scalingDetails("{name}"'
        assert json.loads(body.removesuffix(");\n")) == json.loads(json.dumps(chunk))


def test_counted_examples_are_wrong_by_their_own_f1() -> None:
    counts = pl.DataFrame(
        {
            "key": ["test.de"] * 4,
            "id": list("abcd"),
            "prediction": ["x", None, "y" * 200, ""],
            "span_correct": [1.0, 1.0, 0.0, 0.0],
            "span_predicted": [1.0, 2.0, 1.0, 0.0],
            "span_gold": [1.0, 1.0, 1.0, 0.0],
        }
    )
    found = {name: (text, value) for name, text, value in shown_of(counts)["de"]}
    assert found == {"a": ("x", 1.0), "b": ("", 0.667), "c": ("y" * 80, 0.0)}
