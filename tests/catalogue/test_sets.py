"""Languages of the benchmarks' tasks, as published."""

from __future__ import annotations

import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.sets import XTREME, XTREME_R


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


@pytest.mark.parametrize(
    ("sets", "task", "number"),
    [
        (XTREME, "udpos", 33),
        (XTREME, "panx", 40),
        (XTREME, "tatoeba", 36),
        (XTREME, "xquad", 11),
        (XTREME_R, "udpos", 38),
        (XTREME_R, "panx", 48),
        (XTREME_R, "tatoeba", 41),
        (XTREME_R, "xquad", 12),
        (XTREME_R, "mewslix", 11),
        (XTREME_R, "lareqa", 11),
        (XTREME_R, "tydiqa", 9),
        (XTREME_R, "xcopa", 11),
        (XTREME_R, "xnli", 15),
        (XTREME_R, "mlqa", 7),
    ],
)
def test_language_sets_have_the_published_sizes(
    sets: dict[str, tuple[str, ...]], task: str, number: int
) -> None:
    assert len(sets[task]) == number


def test_xtreme_r_covers_fifty_languages() -> None:
    assert len({code for codes in XTREME_R.values() for code in codes}) == 50


def test_every_target_has_its_set() -> None:
    assert all(set(TASKS[name].languages) == set(codes) for name, codes in XTREME_R.items())
