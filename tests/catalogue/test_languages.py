"""The table of languages agrees with its source and has every language of every task."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.languages import LANGUAGES, get_language

SHARED = Path(os.environ.get("SCALING_SHARED", Path(__file__).parents[3] / "shared"))


def test_language_table_agrees_with_the_published_one() -> None:
    path = SHARED / "published" / "language_table.csv"
    if not path.is_file():
        pytest.skip("the folder with published tables is not beside this checkout")
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 50
    for row in rows:
        language = get_language(row["language"])
        found = (language.joshi, language.cc100_gib, language.seen)
        assert found == (
            int(row["joshi_class"]),
            float(row["cc100_GiB"]),
            row["in_xlmr_pretraining"] == "1",
        ), language


# Not in the copies of Joshi et al.'s list that were at hand; everything else about them is known.
NO_JOSHI_CLASS = {
    "bbj",
    "bxr",
    "bzd",
    "cni",
    "hch",
    "hsb",
    "myv",
    "nah",
    "oto",
    "pcm",
    "quc",
    "shp",
    "tar",
    "yue",
}


def test_every_language_of_every_task_is_described() -> None:
    used = {code for task in TASKS.values() for code in task.languages}
    assert len(used) > 100
    for code in used:
        language = get_language(code)
        assert re.fullmatch("[a-z]{3}", language.iso639_3) and re.fullmatch(
            "[A-Z][a-z]{3}", language.script
        )
        assert language.family and language.name
        assert (language.joshi is None) == (code in NO_JOSHI_CLASS), code
        assert language.seen == (language.cc100_gib > 0)


def test_tiers() -> None:
    assert [LANGUAGES[code].tier for code in ("yo", "sw", "hi", "de")] == [
        "unseen",
        "low",
        "mid",
        "high",
    ]


def test_unknown_language_names_near_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown language 'swa'.*'sw'"):
        get_language("swa")
