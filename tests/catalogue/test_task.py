"""A key is a split and a language, and one text in every file."""

from __future__ import annotations

import pytest

from scaling.catalogue.task import DEV, Key
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
