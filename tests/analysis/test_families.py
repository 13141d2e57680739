"""Families and methods on one page: separate curves, signs with intervals, nothing pooled."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from analysis.families import agreement, family_notes, slope_signs
from analysis.load import load_tidy
from analysis.report import write_report
from scaling.study.question import Question
from tests.helpers.synthetic import study

TARGETS = {"panx": ("sw", "de")}


def test_families_of_two_stores_stand_side_by_side_and_are_not_pooled(tmp_path: Path) -> None:
    """One falls and one rises: a mean over both would say that nothing happens."""
    frames = {
        "xlm-r": study(
            models=("xlm-r-base", "xlm-r-xl"), targets=TARGETS, gain=lambda u, *_: 6 - 5 * u
        ),
        "mt5": study(models=("mt5-small", "mt5-xl"), targets=TARGETS, gain=lambda u, *_: 5 * u),
    }
    stores = [tmp_path / f"{name}.parquet" for name in frames]
    for file, frame in zip(stores, frames.values(), strict=True):
        frame.write_parquet(file)
    page = write_report(
        load_tidy(stores),
        question=Question(resamples=0, x_axis="backbone_params"),
        title="Two",
        out=tmp_path / "both",
        expected=frames["xlm-r"].select("model", "arm", "target", "language", "seed"),
    ).read_text()
    found = json.loads((tmp_path / "both" / "verdict.json").read_text())
    signs = {(row["family"], row["scale"]): row["sign"] for row in found["signs"]}
    assert len(found["signs"]) == 6 and "together" not in found
    assert signs["xlm-r", "points"] == "falls" and signs["mt5", "points"] == "rises"
    for row in found["signs"]:
        part = next(one for one in found["reports"] if one["name"] == row["name"])
        if row["scale"] == "points":
            assert row["estimate"] == part["slope_points"]["estimate"]
    assert "differ in sign" in page and "no mean is taken over them" in page
    assert (tmp_path / "both" / "figures" / "families.svg").is_file() and "<svg" in page
    assert page.count("encoder half of a text-to-text model") == 1
    own = (tmp_path / "both" / "mt5-full" / "index.html").read_text()
    assert "encoder half" in own and "mC4" in own
    assert "encoder half" not in (tmp_path / "both" / "xlm-r-full" / "index.html").read_text()
    assert "CC-100" not in own, "a definition of another family"


def test_a_decoder_by_adapters_says_what_its_numbers_are_not() -> None:
    frame = study(models=("xlm-r-base", "xlm-r-xl"), targets=TARGETS)
    assert family_notes(frame) == []
    decoder = frame.with_columns(family=pl.lit("qwen3"), method=pl.lit("lora-r16"))
    said = " ".join(family_notes(decoder))
    assert "sees to the left" in said and "tagging and span QA" in said and "lora-r16" in said
    texts = decoder.with_columns(target=pl.lit("xnli"))
    assert "tagging" not in " ".join(family_notes(texts))


@pytest.mark.parametrize(
    ("ends", "sign", "says"),
    [
        ((-2.0, -0.5), "falls", "one sign"),
        ((-2.0, 0.5), "undecided", "cannot be told"),
        ((None, None), "not tested", "cannot be told"),
    ],
)
def test_a_sign_is_what_the_interval_leaves(
    ends: tuple[float | None, float | None], sign: str, says: str
) -> None:
    slope = {"estimate": -1.0, "low": ends[0], "high": ends[1]}
    part = {
        "name": "mt5-full",
        "population": "low-resource",
        "x_axis": "backbone_params",
        **{f"slope_{scale}": slope for scale in ("points", "logit", "room")},
    }
    rows = slope_signs([part])
    assert {row["sign"] for row in rows} == {sign} and says in agreement(rows)
    (row,) = slope_signs([{"name": "mt5-full", "form": "no verdict yet"}])
    assert row["sign"] == "no slope yet" and "cannot be told" in agreement([*rows, row])
