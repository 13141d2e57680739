"""A user's own files as they are: a few lines of a study file each, nothing converted before.

The forms are those of data that people have: exports, corpora, tables. `make bench-hub_languages`
counts their lines.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.catalogue.task import Key
from scaling.data.rows import read_table, stage_task
from scaling.data.schema import BadData
from scaling.spec import BadFile
from scaling.store.store import Store
from scaling.study.study import Study, load_study
from tests.helpers.own_files import FORMS, Form

MOST_LINES = 12


def study_of(form: Form, folder: Path) -> Study:
    path = folder / "own.yaml"
    path.write_text(form.study(), encoding="utf-8")
    return load_study(path)


def test_there_are_ten_forms_and_each_takes_a_dozen_lines_at_most() -> None:
    assert len(FORMS) >= 10
    assert {form.name: form.lines for form in FORMS if form.lines > MOST_LINES} == {}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_own_files_are_staged_as_they_are(form: Form, tmp_path: Path) -> None:
    form.write(tmp_path / "data")
    study = study_of(form, tmp_path)
    store = Store.open(str(tmp_path / "store"))
    task = study.task("mine")
    hashes = stage_task(study, task, store, tmp_path / "data")
    counts = store.read_json("data/mine/manifest.json")["splits"]
    for text, rows in form.rows.items():
        table = read_table(store, "mine", Key.read(text), hashes[text])
        assert [
            {name: row[name] for name in rows[0]} for row in table.to_pylist()[: len(rows)]
        ] == rows
        assert counts[text]["defects"] == []
    assert {text: entry["counts"] for text, entry in counts.items() if entry["counts"]} == (
        form.counts
    )


def test_a_language_that_the_table_does_not_know_is_refused_until_it_is_defined(
    tmp_path: Path,
) -> None:
    form = next(form for form in FORMS if "languages:" in form.text.partition("tasks:")[0])
    form.write(tmp_path / "data")
    study = study_of(form, tmp_path)
    assert study.define.languages[0].name == "Kharia"
    path = tmp_path / "without.yaml"
    without = form.study().replace("code: khr", "code: khx")
    path.write_text(without, encoding="utf-8")
    with pytest.raises(BadFile, match=r"without\.yaml:\d+: .*Unknown language 'khr'"):
        load_study(path)
    path.write_text(form.study().replace("khr", "yo"), encoding="utf-8")
    with pytest.raises(BadFile, match=r"define\.languages\.0\.code: 'yo' is in the table"):
        load_study(path)


def test_rows_without_a_context_are_refused_where_nobody_said_they_may_be(tmp_path: Path) -> None:
    form = next(form for form in FORMS if "optional" in form.text)
    form.write(tmp_path / "data")
    strict = Form(**{**form.__dict__, "text": form.text.replace(", optional: [context]", "")})
    study = study_of(strict, tmp_path)
    with pytest.raises(BadData, match=r"am\.jsonl:2: 'passage' should be text"):
        stage_task(
            study, study.task("mine"), Store.open(str(tmp_path / "store")), tmp_path / "data"
        )
