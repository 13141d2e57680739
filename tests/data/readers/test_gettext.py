"""Pairs of English texts from pip packages, which train the arms of the demo."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from scaling.catalogue.task import SPLITS, Split
from scaling.data.schema import Row
from tests.helpers.reading import read

PAIRS = {
    "django_messages": ("django", "halves", {"train": 112, "dev": 17, "test": 90}),
    "pycountry_names": ("pycountry", "official", {"train": 81, "dev": 27, "test": 65}),
}


def rows(reader: str, split: Split) -> list[Row]:
    package, pairs, _ = PAIRS[reader]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"needs the package {package}")
    return read(reader, [Path(found.origin).parent], {"pairs": pairs}, split=split)


@pytest.mark.parametrize("reader", PAIRS)
def test_each_text_asks_for_the_other_of_its_pair(reader: str) -> None:
    split_of: dict[str, Split] = {}
    for split in SPLITS:
        found = rows(reader, split)
        queries = {row["id"]: row for row in found if row["side"] == "query"}
        candidates = {row["id"]: row for row in found if row["side"] == "candidate"}
        assert len(queries) == len(candidates) == PAIRS[reader][2][split]
        for key, row in queries.items():
            assert row["relevant"] == [f"c-{key.removeprefix('q-')}"]
            assert candidates[row["relevant"][0]]["relevant"] == []
            assert split_of.setdefault(key, split) == split
        assert all(row["text"].strip() and row["language"] == "en" for row in found)


def test_halves_are_the_message() -> None:
    found = {row["id"]: row for row in rows("django_messages", "train")}
    (query,) = (row for row in found.values() if row["text"].startswith("%(field_label)s must"))
    second = found[query["relevant"][0]]["text"]
    assert (query["text"], second) == (
        "%(field_label)s must be unique",
        "for %(date_field_label)s %(lookup_type)s.",
    )


def test_official_names_ask_for_the_short_ones() -> None:
    found = {row["id"]: row for split in SPLITS for row in rows("pycountry_names", split)}
    (query,) = (row for row in found.values() if row["text"] == "Federal Republic of Germany")
    assert found[query["relevant"][0]]["text"] == "Germany"
