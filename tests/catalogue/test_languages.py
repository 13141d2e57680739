"""The table of languages agrees with its sources and has every language of every task."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.languages import (
    LANGUAGES,
    TABLE,
    Language,
    defined,
    get_language,
    read_table,
)
from scaling.catalogue.resources import seen, tier, unknown_notes
from scaling.spec import UserError

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
        found = (language.joshi, language.cc100_gib, seen("xlm-r", language))
        assert found == (
            int(row["joshi_class"]),
            float(row["cc100_GiB"]),
            row["in_xlmr_pretraining"] == "1",
        ), language


def test_every_language_of_every_task_is_described() -> None:
    used = {code for task in TASKS.values() for code in task.languages}
    assert len(used) > 220 and len(LANGUAGES) >= 220
    for code in {*used, *LANGUAGES}:
        language = get_language(code)
        assert re.fullmatch("[a-z]{3}", language.iso639_3) and re.fullmatch(
            "[A-Z][a-z]{3}", language.script
        )
        assert language.name and language.family != "?"


def test_a_row_is_a_language_and_its_code_is_never_another_s() -> None:
    isos = [language.iso639_3 for language in LANGUAGES.values()]
    assert len(set(isos)) == len(isos)
    assert not {iso for code, iso in zip(LANGUAGES, isos, strict=True) if iso != code} & {
        *LANGUAGES
    }
    assert [*LANGUAGES] == sorted(LANGUAGES)


def test_xlm_r_saw_a_hundred_languages_of_which_the_table_lacks_latin_alone() -> None:
    """Table 6 has 93 codes, romanised and split ones not counted; Latin has no test set here."""
    assert sum(seen("xlm-r", language) for language in LANGUAGES.values()) == 92


def test_members_of_a_macrolanguage_that_was_seen_are_unknown_never_unseen() -> None:
    for code in ("ary", "arz", "apc", "mey", "prs", "yue", "ckb", "azb", "nn", "ltg", "bjn", "min"):
        language = get_language(code)
        assert tier("xlm-r", language) == "unknown" and not seen("xlm-r", language), code
        assert get_language(code).cc100_gib is None
    # What stands for the macrolanguage is known, and so are members of one that nobody saw.
    for code in ("ar", "fa", "zh", "kmr", "az", "no", "lv", "id", "ms", "quc", "tw", "fuv"):
        assert tier("xlm-r", get_language(code)) != "unknown", code


def test_tiers() -> None:
    assert [tier("xlm-r", LANGUAGES[code]) for code in ("yo", "sw", "hi", "de")] == [
        "unseen",
        "low",
        "mid",
        "high",
    ]


def test_unknown_language_names_near_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown language 'swa'.*'sw'.*define: languages"):
        get_language("swa")


def test_a_defined_language_is_known_within_its_study_only() -> None:
    kharia = Language(code="khr", name="Kharia", family="Austroasiatic")
    with defined([kharia]):
        assert get_language("khr") is kharia and tier("xlm-r", kharia) == "unknown"
        (note,) = unknown_notes("xlm-r", ["de", "khr"])
        assert "Kharia (khr)" in note and "low_resource_languages" in note
    with pytest.raises(UserError, match="Unknown language 'khr'"):
        get_language("khr")
    assert unknown_notes("xlm-r", ["de", "yo"]) == []


def test_a_code_with_two_rows_is_refused(tmp_path: Path) -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    twice = tmp_path / "languages.tsv"
    twice.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")
    with pytest.raises(UserError, match=r"languages\.tsv: 'ace' has two rows"):
        read_table(twice)
