"""The tables agree with their sources and with each other."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from scaling.languages import LANGUAGES, get_language
from scaling.models import MODELS
from scaling.tasks import TASKS

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


@pytest.mark.parametrize(
    ("name", "total", "backbone"),
    # Counted from the hub's configurations; Base agrees with MTEB's 278,043,648 less its pooler of
    # 590,592.
    [
        ("xlm-r-base", 277_453_056, 85_054_464),
        ("xlm-r-large", 558_840_832, 302_309_376),
        ("xlm-r-xl", 3_475_929_600, 2_832_358_400),
        ("xlm-r-xxl", 10_695_954_432, 9_666_240_512),
    ],
)
def test_parameter_counts(name: str, total: int, backbone: int) -> None:
    assert (MODELS[name].total_params, MODELS[name].backbone_params) == (total, backbone)


def test_xtreme_r_covers_its_languages_and_tasks() -> None:
    sizes = {
        "xnli": 15,
        "xcopa": 11,
        "udpos": 38,
        "panx": 48,
        "xquad": 12,
        "mlqa": 7,
        "tydiqa": 9,
        "tatoeba": 41,
        "mewslix": 11,
        "lareqa": 11,
    }
    assert {name: len(TASKS[name].languages) for name in sizes} == sizes


def test_every_task_trains_on_tasks_that_exist() -> None:
    for task in TASKS.values():
        for name in task.trains_on:
            assert name in TASKS, (task.name, name)


def test_no_task_names_a_branch_as_revision() -> None:
    for task in TASKS.values():
        for ref in task.data:
            assert ref.revision is None or len(ref.revision) == 40, task.name
