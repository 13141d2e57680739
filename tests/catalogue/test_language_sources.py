"""Rows of the table are what packages say of their languages."""

from __future__ import annotations

import importlib.util

import pytest

from scaling.catalogue.language_sources import Sources, differences, is_iso, missing, new_row
from scaling.catalogue.languages import TABLE, read_table


def test_every_row_has_a_code_of_iso_and_no_language_of_a_task_is_missing() -> None:
    table = read_table(TABLE)
    assert [code for code, row in table.items() if not is_iso(row["iso639_3"])] == []
    assert list(missing(table)) == []


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("lang2vec", "language_data"))),
    reason="needs the packages of the extra `tables`",
)
def test_families_and_macrolanguages_are_those_of_the_packages() -> None:
    from scaling.catalogue.language_sources import read_sources

    assert list(differences(read_table(TABLE), read_sources(None))) == []


def test_a_new_row_invents_nothing() -> None:
    sources = Sources(
        families={"arb": "Afro-Asiatic", "khr": "Austroasiatic"},
        macrolanguages={"arb": "ara", "ary": "ara"},
        joshi={"kharia": 0, "moroccan": 3},
    )
    seen = {"ara": "ar"}
    kharia = new_row("khr", "Deva", sources, seen)
    assert (kharia["family"], kharia["joshi"], kharia["cc100_gib"]) == ("Austroasiatic", "0", "-")
    moroccan = new_row("ary", "Arab", sources, seen)
    assert (moroccan["family"], moroccan["joshi"], moroccan["cc100_gib"]) == ("?", "?", "?")


def test_a_wrong_row_is_named() -> None:
    sources = Sources(
        families={"deu": "Indo-European"}, macrolanguages={"ary": "ara", "arb": "ara"}, joshi={}
    )
    row = {"script": "Latn", "joshi": "?", "name": "x"}
    table = {
        "ar": {**row, "iso639_3": "arb", "family": "Afro-Asiatic", "cc100_gib": "28.0"},
        "ary": {**row, "iso639_3": "ary", "family": "Afro-Asiatic", "cc100_gib": "-"},
        "de": {**row, "iso639_3": "deu", "family": "Uralic", "cc100_gib": "66.6"},
        "xx": {**row, "iso639_3": "x_x", "family": "?", "cc100_gib": "-"},
    }
    assert list(differences(table, sources)) == [
        "ary: unseen, but a member of ara, which XLM-R saw as ar",
        "de: family Uralic, lang2vec says Indo-European",
        "xx: x_x is no code of ISO 639-3, nor a group's of ISO 639-5",
    ]
