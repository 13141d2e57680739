"""A task's definition is checked whole when a study is read, each fault at its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaling.catalogue import TASKS
from scaling.catalogue.task import TaskSpec
from scaling.spec import BadFile
from scaling.study.study import load_study

READ = {split: [f"{split}.jsonl"] for split in ("train", "dev", "test")}


def task(**fields: Any) -> dict[str, Any]:
    """A right task, with some fields changed; those of its data as `data_…`."""
    data = {
        "reader": "jsonl",
        "source": "dir:one",
        "files": READ,
        "options": {"text_a": "t", "label": "l", "label_map": {"0": "a", "1": "b"}},
        **{key.removeprefix("data_"): value for key, value in fields.items() if "data_" in key},
    }
    return {
        "name": "one",
        "kind": "classification",
        "metric": "accuracy",
        "labels": ["a", "b"],
        "languages": ["de", "sw"],
        "data": [data],
        **{key: value for key, value in fields.items() if "data_" not in key},
    }


def refused(folder: Path, *tasks: dict[str, Any], **study: Any) -> str:
    content = {
        "name": "own",
        "models": ["e5-depth-2"],
        "arms": ["none"],
        "targets": ["one"],
        "seeds": [0],
        "define": {"tasks": list(tasks)},
        **study,
    }
    (folder / "own.yaml").write_text(
        yaml.safe_dump(json.loads(json.dumps(content))), encoding="utf-8"
    )
    try:
        load_study(folder / "own.yaml")
    except BadFile as error:
        assert str(error).startswith(f"{folder / 'own.yaml'}:")
        return str(error)
    return ""


def options(**more: Any) -> dict[str, Any]:
    return {"data_options": {"text_a": "t", "label": "l", **more}}


NER = {
    "kind": "tagging",
    "metric": "span_f1",
    "data_options": {"words": "w", "tags": "t"},
}
PARALLEL = {"kind": "retrieval", "metric": "accuracy", "labels": [], "train_on": []}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"metric": "acuracy"}, "metric: Unknown metric 'acuracy'. Did you mean 'accuracy'"),
    ({"metric": "squad1"}, "metric: squad1 does not score classification; valid: accuracy"),
    ({"data_reader": "jsnol"}, "data.0.reader: Unknown reader 'jsnol'. Did you mean 'jsonl'"),
    ({"data_reader": "squad_json"}, "data.0.reader: squad_json reads span_qa, not classification"),
    ({"data_reader": "django_messages"}, "source: the reader django_messages reads a package"),
    ({"data_source": "package:x"}, "source: the reader jsonl reads files"),
    ({"data_options": {"text_a": "t"}}, "data.0.options: the reader jsonl needs label for"),
    (options(txt_b="x"), "options.txt_b: the reader jsonl has no such option. Did you mean"),
    (options(words="x"), "options.words: the reader jsonl has no such option"),
    (options(text_b=["x"]), "options.text_b: should be a text"),
    (options(where="x"), "options.where: should be a mapping"),
    (options(label_map={"0": "c"}), "label_map.0: 'c' is not among the labels"),
    (options(label_names=["a", "c"]), "label_names.1: 'c' is not among the labels"),
    (
        options(label_names=["x", "y"], label_map={"x": "a"}),
        "label_names.1: 'y' is not a key of label_map",
    ),
    (options(hold_out=1.0), "hold_out: should lie between 0 and 1"),
    (options(hold_out=0), "hold_out: should lie between 0 and 1"),
    (options(accept=["emty_text"]), "accept.0: knows no 'emty_text'. Did you mean 'empty_text'"),
    ({"labels": ["a"]}, "labels: a task of kind classification needs at least two"),
    ({"labels": ["a", "a"]}, "labels: 'a' is there twice"),
    ({"labels": ["a", " "]}, "labels.1: an empty name"),
    ({"languages": ["de", "xx"]}, "languages.1: Unknown language 'xx'"),
    ({"languages": ["de", "de"]}, "languages: 'de' is there twice"),
    ({"data_codes": {"xx": "x"}}, "codes.xx: Unknown language 'xx'"),
    ({"data_codes": {"de": "x", "sw": "x"}}, "codes: de and sw have the same code 'x'"),
    ({"data_files": {}}, "data.0.files: names no file"),
    ({"data_files": {**READ, "test": []}}, "files.test: names no file"),
    ({"data_files": {**READ, "test": ["../x"]}}, "'../x' is no pattern below the source"),
    ({"data_files": {**READ, "test": ["x", "x"]}}, "'x' is there twice"),
    ({"data_files": {"test": ["x"]}}, "files: task one: train of en is read, and dir:one has only"),
    ({"sizes": {"tset": 5}}, "sizes.tset: is no split of this task"),
    ({"sizes": {"test.fr": 5}}, "sizes.test.fr: is no split of this task"),
    ({"sizes": {"test": 0}}, "sizes.test: 0 examples"),
    (
        {"defects": {"empty_txt": {"test": 1}}},
        "Unknown defect 'empty_txt'. Did you mean 'empty_text'",
    ),
    ({"defects": {"empty_text": {"tst": 1}}}, "defects.empty_text.tst: is no split"),
    ({"train_on": ["two"]}, "define.tasks.0.train_on.0: Unknown training task 'two'"),
    ({"train_on": ["squad1"]}, "one is of kind classification and trains on squad1, span_qa"),
    ({"train_on": ["mnli"]}, "one has the labels a b and trains on mnli, which has entailment"),
    ({"name": "xnli"}, "'xnli' is in the catalogue: take another name, or say so with `replaces"),
    ({"name": "x" * 65}, "name: String should have at most 64 characters"),
    ({"name": "One"}, "name: String should match pattern"),
    ({**NER, "labels": ["O", "PER", "ORG"]}, "labels.1: span_f1 cannot read 'PER' beside `O`"),
    ({**NER, "labels": ["O", "PER-B", "PER-I"]}, "labels.1: span_f1 cannot read 'PER-B'"),
    ({**NER, "labels": ["O", "B-PER", "L-PER", "U-PER"]}, "labels.2: span_f1 cannot read 'L-PER'"),
    ({**NER, "labels": ["OUT", "B-PER", "I-PER"]}, "labels: tags of entities without `O`"),
    ({**NER, "labels": ["PER-B", "PER-I"]}, "labels: tags of entities without `O`"),
    ({**PARALLEL, "labels": ["a", "b"]}, "labels: a task of kind retrieval has none"),
    (
        {"kind": "span_qa", "metric": "mlqa", "labels": [], "languages": ["sw"]},
        "metric: mlqa has no rules for 'sw'",
    ),
    ({"languages": []}, "targets.0: one has no test data. "),
]


@pytest.mark.parametrize(("fields", "message"), CASES, ids=[message for _, message in CASES])
def test_a_wrong_definition_is_refused(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    found = refused(tmp_path, task(**fields))
    assert message in found, found


def test_right_definitions(tmp_path: Path) -> None:
    assert refused(tmp_path, task()) == ""
    for labels in (
        ["O", "B-PER", "I-PER"],
        ["O", "B-PER", "I-PER", "E-PER", "S-PER"],
        ["O", "B-PER", "M-PER", "E-PER", "S-PER"],
        ["NOUN", "VERB", "X"],
    ):
        assert refused(tmp_path, task(**NER, labels=labels)) == ""
    # The labels of another task, in any order.
    other = task(name="two", labels=["b", "a"], languages=[])
    assert refused(tmp_path, task(train_on=["two"]), other) == ""
    assert refused(tmp_path, task(), task()).endswith("tasks.1.name: 'one' is there twice")
    again = {"tasks": [task(name="xnli")], "replaces": ["xnli"]}
    assert refused(tmp_path, targets=["xnli"], define=again) == ""


def test_the_catalogue_is_right() -> None:
    # Copies of a task are not checked when they are made.
    for spec in TASKS.values():
        assert TaskSpec.model_validate(spec.model_dump()) == spec
