"""What a family read of a language, and which languages are low-resource for it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scaling.catalogue.languages import LANGUAGES, Language
from scaling.catalogue.models import MODELS
from scaling.catalogue.resources import (
    TABLES,
    UNPUBLISHED,
    is_low,
    seen,
    text_amount,
    text_unit,
    tier,
    unknown_notes,
)
from scaling.spec import BadFile
from scaling.study.question import Question

SHARED = Path(__file__).parents[3] / "shared" / "pretraining_text"


def test_xlm_r_read_cc100_and_nobody_says_what_others_read() -> None:
    assert text_amount("xlm-r", LANGUAGES["sw"]) == 1.6
    assert text_amount("xlm-r", LANGUAGES["wo"]) == 0
    assert text_amount("bloom", LANGUAGES["ru"]) is None and text_unit("bloom") == ""
    found = [tier("xlm-r", LANGUAGES[code]) for code in ("yue", "wo", "sw", "hi", "de")]
    assert found == ["unknown", "unseen", "low", "mid", "high"]
    edges = [Language(code="qq", name="Q", cc100_gib=gib) for gib in (4.9, 5.0, 29.9, 30.0)]
    assert [tier("xlm-r", one) for one in edges] == ["low", "mid", "mid", "high"]


def test_mt5_read_mc4_in_tokens() -> None:
    """The thresholds part the languages as CC-100's do, but for those named."""
    assert text_unit("mt5") == "billion tokens"
    for code, amount in (("en", 2733), ("yo", 0.05), ("tl", 2.1), ("wo", 0)):
        assert text_amount("mt5", LANGUAGES[code]) == amount, code
    assert text_amount("mt5", LANGUAGES["yue"]) is None, "in Chinese, not told apart"
    low = {
        code
        for code, one in LANGUAGES.items()
        if seen("mt5", one)
        and seen("xlm-r", one)
        and is_low("mt5", one, "cc100") != is_low("xlm-r", one, "cc100")
    }
    assert low == {"cy", "gl", "is", "mr", "ne"}
    new = {c for c, one in LANGUAGES.items() if seen("mt5", one) and not seen("xlm-r", one)}
    assert new >= {"ceb", "ht", "ig", "mt", "ny", "sn", "tg", "yo", "zu"}
    assert not any(seen("mt5", LANGUAGES[code]) for code in ("hr", "bs", "br", "ug"))


def test_mmbert_read_in_phases_and_nothing_is_unseen() -> None:
    found = {code: tier("mmbert", one) for code, one in LANGUAGES.items()}
    assert (found["de"], found["sw"], found["yo"]) == ("high", "high", "low")
    assert {*found.values()} == {"high", "mid", "low", "unknown"}
    assert found["ha"] == "unknown" and text_amount("mmbert", LANGUAGES["ha"]) is None
    low = {code for code, one in LANGUAGES.items() if is_low("mmbert", one, "cc100")}
    assert low == {code for code in found if found[code] == "low"}
    (note,) = unknown_notes("mmbert", ["de", "ha"])
    assert "Hausa (ha)" in note


def test_the_rows_are_those_of_their_sources() -> None:
    if not SHARED.is_dir():
        pytest.skip("the folder with published tables is not beside this checkout")
    with (SHARED / "mt5.csv").open() as stream:
        mc4 = {row["iso639_3"]: float(row["amount"]) for row in csv.DictReader(stream)}
    phases: dict[str, dict[str, int]] = {}
    with (SHARED / "mmbert.csv").open() as stream:
        for row in csv.DictReader(stream):
            phase = row["unit"].removeprefix("tokens in phase ")
            phases.setdefault(row["iso639_3"], {})[phase] = int(row["amount"])
    for one in LANGUAGES.values():
        default = None if one.cc100_gib is None else 0.0
        assert text_amount("mt5", one) == mc4.get(one.iso639_3, default), one.code
        own = phases.get(one.iso639_3)
        path = own and sum(own.get(phase, 0) for phase in ("pretrain", "ext", "decay-all")) / 1e9
        assert text_amount("mmbert", one) == path, one.code


def test_joshi_serves_where_a_family_has_no_table() -> None:
    """Telugu: 4.7 GiB and class 1. Afrikaans: 1.3 GiB and class 3, low by text alone."""
    assert is_low("xlm-r", LANGUAGES["af"], "cc100")
    assert not is_low("bloom", LANGUAGES["af"], "cc100")
    assert is_low("bloom", LANGUAGES["te"], "cc100")
    assert not is_low("xlm-r", LANGUAGES["af"], "joshi")
    assert unknown_notes("bloom", ["de", "yue"]) == [], "the report says so of all at once"


def test_every_shipped_family_has_a_table_or_says_why_not() -> None:
    families = {model.family for model in MODELS.values()}
    assert families == {*TABLES, *UNPUBLISHED}
    assert not {*TABLES} & {*UNPUBLISHED}


def test_a_question_may_name_the_family_whose_text_counts() -> None:
    assert Question(text_of="xlm-r").text_of == "xlm-r"
    with pytest.raises((ValueError, BadFile), match=r"Unknown family 'xlmr'.*xlm-r"):
        Question(text_of="xlmr")


def test_no_number_of_an_xlm_r_study_moves() -> None:
    """Tables of other families change neither what XLM-R read nor what a study registers."""
    for family in ("xlm-r", "e5-small", "xlm-r-xl-ladder"):
        for one in LANGUAGES.values():
            gib = one.cc100_gib
            assert text_amount(family, one) == gib
            assert is_low(family, one, "cc100") == (gib is not None and gib < 5)
            assert seen(family, one) == (gib is not None and gib > 0)
    assert Question().model_dump(mode="json") == {
        "x_axis": "total_params",
        "low_resource": "cc100",
        "text_of": None,
        "low_resource_languages": None,
        "margin": 0.8,
        "margin_at_largest": 0.5,
        "point_worth": None,
        "examples": "these",
        "resamples": 10_000,
        "seed": 0,
    }
