"""A key is a split and a language, and one text in every file."""

from __future__ import annotations

import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.task import DEV, Key, TaskSpec
from scaling.spec import UserError


def test_a_key_reads_what_it_writes() -> None:
    for key in (DEV, Key("test", "zh"), Key("train", "gor")):
        assert Key.read(str(key)) == key
    assert f"data/{DEV}.parquet" == "data/dev.en.parquet"
    # In the order of their texts: languages of a split stay together.
    keys = [Key("test", "de"), Key("dev", "en"), Key("test", "af"), Key("train", "en")]
    assert [str(key) for key in sorted(keys)] == sorted(str(key) for key in keys)


def test_another_split_is_refused() -> None:
    with pytest.raises(UserError, match="tests"):
        Key.read("tests.en")


def test_a_ceiling_says_where_it_is_stated_and_is_better_than_guessing() -> None:
    known = {"name": "t", "kind": "classification", "labels": ("a", "b"), "metric": "accuracy"}
    with pytest.raises(ValueError, match="needs ceiling_source"):
        TaskSpec(**known, ceiling=0.9)
    with pytest.raises(ValueError, match=r"0\.5 is no better than guessing among 2 labels"):
        TaskSpec(**known, ceiling=0.5, ceiling_source="somebody")
    stated = [task for task in TASKS.values() if task.ceiling is not None]
    assert {task.name for task in stated} >= {"xnli", "xnli_german", "kornli", "americasnli"}
    assert all("arXiv" in task.ceiling_source for task in stated)
