"""Targets in hundreds of languages: their codes, and files in the layouts that were seen."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.languages import get_language
from scaling.catalogue.many_languages import MANY_LANGUAGES, upstream
from scaling.catalogue.resources import tier
from scaling.catalogue.task import Split
from scaling.data.readers import find_files
from scaling.data.schema import Row
from scaling.study.study import load_study
from tests.helpers.reading import read


@pytest.mark.parametrize(
    ("task", "number"),
    [
        # 205 codes less 9 that are another script, or apc under its old code.
        ("sib200", 196),
        ("sib200_scripts", 9),
        # 204 codes less those, and English.
        ("flores200", 194),
        ("flores200_scripts", 9),
        # MTEB's 121 less sr and zh in another script, and English.
        ("ntrex128", 118),
        ("belebele", 115),
        ("belebele_scripts", 7),
        # 51 less zh-TW.
        ("massive_intent", 50),
        ("afrixnli", 18),
        ("masakhanews", 16),
        ("injongo_intent", 17),
        ("nusax", 12),
        ("in22", 22),
    ],
)
def test_each_set_has_its_languages_once(task: str, number: int) -> None:
    languages = TASKS[task].languages
    assert len(languages) == number == len({get_language(code).iso639_3 for code in languages})
    assert TASKS[task].licence and TASKS[task].citation


def test_upstream_codes_end_in_the_script_of_the_language() -> None:
    for benchmark in ("flores200", "sib200", "belebele"):
        for code, theirs in upstream(benchmark).items():
            script = get_language(code).script
            assert theirs[4:] == script or code in ("zh", "ja", "ko"), (code, theirs)


def test_low_resource_languages_with_a_test_set_on_the_hub() -> None:
    """At least 130, of which 125 with 200 items; members of a macrolanguage are not counted."""
    items: dict[str, int] = {}
    for task in MANY_LANGUAGES:
        if task.data[0].source.startswith("hub:"):
            for code in task.languages:
                size = task.sizes.get(f"test.{code}", task.sizes.get("test", 0))
                items[code] = max(items.get(code, 0), size)
    low = {
        code: n
        for code, n in items.items()
        if tier("xlm-r", get_language(code)) in ("low", "unseen")
    }
    assert len(low) >= 130
    assert sum(n >= 200 for n in low.values()) >= 125


def rows_of(task: str, split: Split, language: str, root: Path) -> list[Row]:
    """Rows of one split through the task's own reader, from a folder in upstream's layout."""
    spec = TASKS[task]
    (ref,) = spec.data
    code = ref.codes.get(language, language)
    files = find_files(ref, split, code, root)
    return read(
        ref.reader,
        files,
        ref.options,
        labels=spec.labels,
        language=language,
        code=code,
        split=split,
    )


def put(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_sib200_is_read_by_language(tmp_path: Path) -> None:
    put(
        tmp_path / "test" / "ace_Latn.parquet",
        [{"index_id": 7, "category": "travel", "text": "a train"}],
    )
    (row,) = rows_of("sib200", "test", "ace", tmp_path)
    assert (row["text_a"], row["label"]) == ("a train", "travel")


def test_flores_has_a_column_for_each_language(tmp_path: Path) -> None:
    sentences = [{"eng_Latn": f"en {n}", "kin_Latn": f"rw {n}", "lug_Latn": "lg"} for n in range(2)]
    put(tmp_path / "default" / "devtest" / "0000.parquet", sentences)
    rows = rows_of("flores200", "test", "rw", tmp_path)
    assert [(row["side"], row["language"], row["text"]) for row in rows[:2]] == [
        ("query", "en", "en 0"),
        ("candidate", "rw", "rw 0"),
    ]


def test_belebele_counts_its_answers_from_one(tmp_path: Path) -> None:
    record = {"flores_passage": "p", "question": "q", "correct_answer_num": "4"}
    record |= {f"mc_answer{n}": f"answer {n}" for n in range(1, 5)}
    put(tmp_path / "yor_Latn" / "test" / "0000.parquet", [record])
    (row,) = rows_of("belebele", "test", "yo", tmp_path)
    assert row["choices"][row["label"]] == "answer 4"


def test_massive_is_json_lines_by_split_and_language(tmp_path: Path) -> None:
    path = tmp_path / "test" / "zh-CN.json.gz"
    path.parent.mkdir()
    record = {"id": "1", "label": "alarm_set", "label_text": "alarm_set", "text": "t", "lang": "zh"}
    path.write_bytes(gzip.compress(json.dumps(record).encode()))
    (row,) = rows_of("massive_intent", "test", "zh", tmp_path)
    assert (row["text_a"], row["label"]) == ("t", "alarm_set")


def test_the_study_of_low_resource_languages_has_most_of_them() -> None:
    study = load_study("low_resource")
    languages = {code for target in study.targets for code in study.test_languages(target)}
    assert len(languages) > 210
    assert study.task("belebele").trains_on == ("cosmosqa",)
