"""What a family read of a language, and which languages are low-resource for it."""

from __future__ import annotations

import pytest

from scaling.catalogue.languages import LANGUAGES
from scaling.catalogue.models import MODELS
from scaling.catalogue.resources import TABLES, is_low, text_gib, tier
from scaling.spec import BadFile
from scaling.study.question import Question


def test_xlm_r_read_cc100_and_nobody_says_what_others_read() -> None:
    assert text_gib("xlm-r", LANGUAGES["sw"]) == 1.6
    assert text_gib("xlm-r", LANGUAGES["wo"]) == 0
    assert text_gib("bloom", LANGUAGES["ru"]) is None
    assert [tier(gib) for gib in (None, 0.0, 1.6, 5.0, 30.0)] == [
        "unknown",
        "unseen",
        "low",
        "mid",
        "high",
    ]


def test_joshi_serves_where_a_family_has_no_table() -> None:
    """Telugu: 4.7 GiB and class 1. Afrikaans: 1.3 GiB and class 3, low by text alone."""
    assert is_low("xlm-r", LANGUAGES["af"], "cc100")
    assert not is_low("bloom", LANGUAGES["af"], "cc100")
    assert is_low("bloom", LANGUAGES["te"], "cc100")
    assert not is_low("xlm-r", LANGUAGES["af"], "joshi")


def test_every_shipped_family_has_a_table() -> None:
    assert {model.family for model in MODELS.values()} <= set(TABLES)


def test_a_question_may_name_the_family_whose_text_counts() -> None:
    assert Question(text_of="xlm-r").text_of == "xlm-r"
    with pytest.raises((ValueError, BadFile), match=r"Unknown family 'xlmr'.*xlm-r"):
        Question(text_of="xlmr")
