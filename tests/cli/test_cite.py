"""What to cite for a study: every task and model, at the commits that were staged."""

from __future__ import annotations

import json
from pathlib import Path

from scaling.store.store import Store
from scaling.study.identity import Lock
from scaling.study.study import load_study
from tests.helpers.command import scaling
from tests.helpers.studies import HARM


def test_every_task_and_model_of_a_study_is_cited(tmp_path: Path) -> None:
    study = load_study("xtreme_r")
    shown = json.loads(scaling("cite", "xtreme_r", "--json", cwd=tmp_path).stdout)
    names = {(one["kind"], one["name"]) for one in shown["terms"]}
    assert names == {("data", task) for task in study.used_tasks} | {
        ("model", model) for model in study.models
    }
    keys = {key for one in shown["terms"] for key in one["citation"]}
    assert shown["references"].keys() == keys
    assert all(f"{{{key}," in entry["bibtex"] for key, entry in shown["references"].items())
    assert "siqa" in shown["unseen"]
    assert "hellaswag" not in shown["unseen"]
    # Before it is staged: the commits that the study states.
    base = next(one for one in shown["terms"] if one["name"] == "xlm-r-base")
    assert base["sources"] == [
        [study.model("xlm-r-base").source, study.model("xlm-r-base").revision]
    ]
    assert not list(tmp_path.iterdir())


def test_the_commits_of_a_store_are_those_that_were_read(tmp_path: Path) -> None:
    (task,) = [ref.origin for ref in load_study("xtreme_r").task("mnli").data]
    model = {"weights": "w" * 64, "tokenizer": "t" * 64, "revision": "b" * 40}
    lock = Lock(models={"xlm-r-xl": model}, revisions={task: "a" * 40})
    Store.open(tmp_path / "store").write_lock(lock)
    done = scaling("cite", "xtreme_r", "--store", str(tmp_path / "store"), "--json")
    sources = {one["name"]: one["sources"] for one in json.loads(done.stdout)["terms"]}
    assert sources["mnli"] == [[task, "a" * 40]]
    assert sources["xlm-r-xl"][0][1] == "b" * 40


def test_a_person_reads_a_table_and_bibtex(tmp_path: Path) -> None:
    said = scaling("cite", str(HARM), cwd=tmp_path).stdout
    assert "BSD-3-Clause" in said
    assert "look before you publish: word_order" in said
    assert "@article{wang2024multilingual,\n" in said
    assert not (tmp_path / "runs").exists()
    refused = scaling("cite", "dem", cwd=tmp_path)
    assert refused.returncode == 2
