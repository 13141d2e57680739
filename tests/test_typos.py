"""A misspelt key or name is told at its own line, with what was meant; all of a file in one run."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scaling.spec import BadFile, FieldError, parse
from scaling.study.recipes import Recipe
from scaling.study.study import Study, load_study
from scaling.typos import Place, did_you_mean, nearest

JSONL = {split: [f"{split}.jsonl"] for split in ("train", "dev", "test")}
STUDY: dict[str, Any] = {
    "name": "own",
    "models": ["e5-depth-4", "mine"],
    "arms": [
        "none",
        "word_order",
        {"name": "sequence", "train_on": ["name_types", "nli"]},
        {
            "name": "both",
            "together": ["own_topics", "nli"],
            "sampling": {"cap": 8, "temperature": 2.0},
            "recipe": {"epochs": 1.0, "precision": "fp32"},
        },
        {
            "name": "mixed",
            "train_on": ["nli"],
            "languages": ["en", "de"],
            "mlm": {"task": "prose", "languages": ["sw"], "ratio": 1.0, "exponent": 0.5},
        },
        {"name": "short", "train_on": ["nli"], "mlm": "prose"},
        {"name": "longer", "control": "compute-matched", "like": "sequence"},
        {
            "name": "adapted",
            "adapt": [{"task": "prose", "languages": ["en"], "exponent": 0.5}, "verse"],
            "new_pieces": 2,
            "transliterate": {"uk": "latin"},
        },
    ],
    "targets": ["own_topics", "applications", "own_ner"],
    "languages": ["uk", "sw", "de"],
    "seeds": [0],
    "intermediate_seed": "per_seed",
    "limits": {"train": 8, "test": 8},
    "recipes": {"default": {"batch": 8, "pooling": "mean"}, "own_topics": {"epochs": 1.0}},
    "protocol": "xtreme",
    "method": "full",
    "placement": {"default": {"workers": 1}, "e5-depth-4": {"zero_stage": 1}},
    "question": {
        "x_axis": "backbone_params",
        "low_resource": "joshi",
        "text_of": "xlm-r",
        "low_resource_languages": ["sw", "uk"],
        "examples": "such",
    },
    "gpu": "a100-80",
    "keep_weights": "intermediate",
    "define": {
        "models": [
            {
                "name": "mine",
                "family": "e5-depth-ladder",
                "architecture": "xlm-roberta",
                "source": "dir:mine",
                "num_layers": 1,
                "hidden": 8,
                "ffn": 8,
                "num_heads": 2,
                "vocab_rows": 10,
            }
        ],
        "languages": [{"code": "qya", "name": "Quenya"}],
        "tasks": [
            {
                "name": "own_topics",
                "kind": "classification",
                "metric": "accuracy",
                "labels": ["sport", "news"],
                "languages": ["de", "sw", "qya"],
                "sizes": {"train": 8, "test.sw": 8},
                "defects": {"empty_text": {"dev": 1}},
                "identical": "right",
                "data": [
                    {
                        "reader": "delimited",
                        "source": "dir:one",
                        "files": {split: [f"{split}.tsv"] for split in ("train", "dev", "test")},
                        "codes": {"de": "ger"},
                        "options": {
                            "text_a": "t",
                            "label": "l",
                            "delimiter": "comma",
                            "optional": ["text_b"],
                            "accept": ["unlabelled"],
                            "label_map": {"0": "sport", "1": "news"},
                            "label_names": ["0", "1"],
                        },
                    }
                ],
            },
            {
                "name": "own_ner",
                "kind": "tagging",
                "metric": "span_f1",
                "labels": ["O", "B-PER"],
                "languages": ["sw"],
                "train_on": ["their_ner", "own_ner"],
                "data": [{"reader": "conll", "source": "dir:n", "files": JSONL}],
            },
            {
                "name": "their_ner",
                "kind": "tagging",
                "metric": "span_f1",
                "labels": ["O", "B-PER"],
                "languages": ["sw"],
                "data": [{"reader": "conll", "source": "dir:n", "files": JSONL}],
            },
            {
                "name": "nli",
                "kind": "classification",
                "metric": "accuracy",
                "labels": ["yes", "no"],
                "train_languages": ["en", "de"],
                "data": [
                    {
                        "reader": "jsonl",
                        "source": "dir:nli",
                        "files": JSONL,
                        "options": {"text_a": "a", "label": "l"},
                    }
                ],
                "translations": [
                    {
                        "reader": "hub_parquet",
                        "source": "dir:nli",
                        "files": JSONL,
                        "options": {"text_a": "a", "label": "l"},
                    }
                ],
            },
            *(
                {
                    "name": name,
                    "kind": "masked_lm",
                    "metric": "tag_f1",
                    "train_languages": ["en", "sw"],
                    "data": [
                        {
                            "reader": "plain_text",
                            "source": "dir:t",
                            "files": {"train": ["{lang}.txt"], "dev": ["{lang}.txt"]},
                        }
                    ],
                }
                for name in ("prose", "verse")
            ),
            {
                "name": "name_types",
                "kind": "classification",
                "metric": "accuracy",
                "labels": ["yes", "no"],
                "data": [
                    {
                        "reader": "jsonl",
                        "source": "dir:nli",
                        "files": JSONL,
                        "options": {"text_a": "a", "label": "l"},
                    }
                ],
            },
        ],
        "tables": {"latin": {"а": "a"}},
        "replaces": ["name_types"],
    },
}
LORA = {**STUDY, "method": "lora", "lora": {"rank": 4, "targets": ["query", "output.dense"]}}
LORA["arms"] = [arm for arm in STUDY["arms"] if "new_pieces" not in arm]

# What a person calls something, and texts of theirs: any is right.
OWN_WORDS = {"name", "family", "source", "tables", "files", "labels", "code", "codes"}
OWN_WORDS |= {"text_a", "label"}
# Mappings whose keys are names that must exist.
NAMED_KEYS = {"limits", "recipes", "placement", "sizes", "defects", "transliterate", "files"}
NAMED_KEYS |= {"codes", "empty_text"}
PLACES: dict[str, Place] = {
    "Study": (),
    "Arm": ("arms", 3),
    "Sampling": ("arms", 3, "sampling"),
    "Alternated": ("arms", 4, "mlm"),
    "Text": ("arms", 7, "adapt", 0),
    "Question": ("question",),
    "Lora": ("lora",),
    "Placement": ("placement", "default"),
    "Definitions": ("define",),
    "Language": ("define", "languages", 0),
    "ModelSpec": ("define", "models", 0),
    "TaskSpec": ("define", "tasks", 0),
    "DataRef": ("define", "tasks", 0, "data", 0),
    "Recipe": ("recipes", "default"),
}


def misspelt(name: str) -> str:
    """Two letters changed places, or one more where that changes nothing."""
    for at in range(len(name) // 2, len(name) - 1):
        if name[at] != name[at + 1]:
            swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
            return swapped if len(name) > 3 else f"{name}q"
    return f"{name}q"


def written(study: dict[str, Any]) -> str:
    """A study as YAML in its order, without aliases."""
    return yaml.safe_dump(json.loads(json.dumps(study)), allow_unicode=True, sort_keys=False)


def changed(study: dict[str, Any], place: Place, key: str | None, value: Any) -> str:
    """The study as YAML with another value at a place, or another key for it."""
    content = json.loads(json.dumps(study))
    parent = content
    for part in place[:-1]:
        parent = parent.setdefault(part, {}) if isinstance(parent, dict) else parent[part]
    if key is None:
        parent[place[-1]] = value
    else:
        entries = {key if old == place[-1] else old: item for old, item in parent.items()}
        parent.clear()
        parent.update({key: value, **entries} if key not in entries else entries)
    return written(content)


def told(folder: Path, text: str) -> list[tuple[int, str]]:
    """(line, the rest) of everything that is told of a study file."""
    file = folder / "own.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        load_study(file)
    except BadFile as error:
        lines = str(error).split("\n")
        found = [re.fullmatch(rf"{re.escape(str(file))}:(\d+): (.*)", line) for line in lines]
        return [(int(match[1]), match[2]) for match in found if match]
    return []


def every_key() -> Iterator[tuple[dict[str, Any], Place, str, Any]]:
    """(study, place, key, a right value) of every key of every model that a study file has."""
    schema = Study.model_json_schema()
    models = {**schema["$defs"], "Study": schema, "Recipe": Recipe.model_json_schema()}
    left = {name for name, one in models.items() if "properties" in one} - set(PLACES)
    assert not left
    for name, place in PLACES.items():
        for key, field in models[name]["properties"].items():
            empty = {"object": {}, "array": [], "string": "x"}.get(field.get("type", "object"), 1)
            value = field.get("default", empty)
            yield (LORA if name == "Lora" else STUDY), place, key, value


def every_name(
    study: dict[str, Any], value: Any, place: Place = ()
) -> Iterator[tuple[dict[str, Any], Place, str, bool]]:
    """(study, place, name, whether it is a key) of every name in a study."""
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    if isinstance(value, dict):
        for name, item in value.items():
            if key in NAMED_KEYS and (key, name) != ("recipes", "default"):
                yield study, (*place, name), name, True
            if name not in OWN_WORDS:
                yield from every_name(study, item, (*place, name))
            elif name in NAMED_KEYS and isinstance(item, dict):
                for own in item:
                    yield study, (*place, name, own), own, True
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from every_name(study, item, (*place, at))
    elif isinstance(value, str):
        yield study, place, value, False


def test_a_misspelt_size_of_seeds_is_told_with_all_else(tmp_path: Path) -> None:
    text = SHORT.replace("[0, 1]", "\n  default: [0, x]\n  xlm-r-bsae: [0, 1]").replace(
        "ur]", "urq]"
    )
    assert sorted(places(told(tmp_path, text))) == [
        (6, "seeds.default.1"),
        (7, "seeds.xlm-r-bsae"),
        (10, "languages.1"),
    ]


def test_the_studies_are_right_as_they_are(tmp_path: Path) -> None:
    for study in (STUDY, LORA):
        assert told(tmp_path, written(study)) == []


def test_every_misspelt_key_is_told_at_its_line_with_the_right_one(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    wrong, count = [], 0
    for study, place, key, value in every_key():
        text = changed(study, (*place, key), misspelt(key), value)
        _, lines = parse(text, "own.yaml")
        found = told(tmp_path, text)
        count += 1
        if [line for line, _ in found] != [lines[*place, misspelt(key)]] or (
            f"Did you mean {key!r}" not in found[0][1]
        ):
            wrong.append((place, key, found))
    record_property("typos", f"{count - len(wrong)} of {count}")
    assert wrong == []
    assert count > 120


def test_every_misspelt_name_is_told_at_its_line_with_the_right_one(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    wrong, count = [], 0
    names = [*every_name(STUDY, STUDY), *every_name(LORA, LORA["lora"], ("lora",))]
    for study, place, name, is_key in names:
        if name == "full" and study is LORA:
            continue
        typo = misspelt(name)
        text = changed(study, place, typo if is_key else None, typo)
        _, lines = parse(text, "own.yaml")
        found = told(tmp_path, text)
        count += 1
        here = (*place[:-1], typo) if is_key else place
        if [line for line, _ in found] != [lines[here]] or repr(name) not in found[0][1]:
            wrong.append((place, typo, found))
    record_property("typos", f"{count - len(wrong)} of {count}")
    assert wrong == []
    assert count > 80


SHORT = """\
name: mine
models: [xlm-r-base, xlm-r-large]
arms: [none, mnli]
targets: [xnli, panx]
seeds: [0, 1]
gpu: a100-80
recipes: {mnli: {epochs: 2.0}}
languages: [sw, ur]
"""


def places(found: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(line, text.partition(": ")[0]) for line, text in found]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"xnli": "xnil", "epochs": "epoch", "a100-80": "a10-80"},
            [(4, "targets.0"), (6, "gpu"), (7, "recipes.mnli.epoch")],
        ),
        (
            {
                "seeds": "sedes",
                "-base": "-bsae",
                "-large": "-lagre",
                "[none": "[nnoe",
                "ur]": "urq]",
            },
            [
                (2, "models.0"),
                (2, "models.1"),
                (3, "arms.0.train_on.0"),
                (5, "sedes"),
                (8, "languages.1"),
            ],
        ),
        # A key that is like none, a missing one, a value of another type: the names are told too.
        (
            {"seeds": "replicas", "xlm-r-base": "3", "panx": "pnax"},
            [(1, "seeds"), (2, "models.0"), (4, "targets.1"), (5, "replicas")],
        ),
        (
            {"[0, 1]": "[]", "xnli": "xnil", "gpu": "gpuu"},
            [(4, "targets.0"), (5, "seeds"), (6, "gpuu")],
        ),
        ({"[0, 1]": "[x, y]", "xnli": "xnil"}, [(4, "targets.0"), (5, "seeds.0"), (5, "seeds.1")]),
        ({"mine": "My Study", "panx": "pnax"}, [(1, "name"), (4, "targets.1")]),
        (
            {"languages: [sw, ur]": "question: {x_axis: total, low_resource_languages: [qq, sw]}"},
            [(8, "question.low_resource_languages.0"), (8, "question.x_axis")],
        ),
        # The same wrong name in two places is told in both.
        ({"mnli": "mnil"}, [(3, "arms.1.train_on.0"), (7, "recipes.mnil")]),
        # A model like none stands for one of another family in the draft, which is not told.
        ({"xlm-r-base": "quux", "xnli": "xnil"}, [(2, "models.0"), (4, "targets.0")]),
        # A target like none: whether it has the languages cannot be told.
        ({"[xnli, panx]": "[quux]", "a100-80": "b100"}, [(4, "targets.0"), (6, "gpu")]),
    ],
)
def test_all_typos_are_told_in_one_run_in_the_order_of_their_lines(
    tmp_path: Path, changes: dict[str, str], expected: list[tuple[int, str]]
) -> None:
    text = SHORT
    for right, wrong in changes.items():
        assert right in text
        text = text.replace(right, wrong)
    found = places(told(tmp_path, text))
    assert sorted(found) == expected
    assert [line for line, _ in found] == [line for line, _ in expected]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("define", "tasks", 0, "kind"), "zzz"),
        (("define", "tasks", 0, "metric"), "zzz"),
        (("define", "tasks", 0, "labels"), ["one"]),
        (("define", "tasks", 0, "data", 0, "reader"), "zzz"),
        (("define", "tasks", 0, "data", 0, "options", "text_a"), 3),
        (("define", "models", 0, "num_heads"), 3),
        (("define", "tables", "latin"), {}),
        (("arms", 2, "train_on"), 3),
        (("targets", 0), "zzz"),
        (("languages", 0), "zzz"),
    ],
)
def test_what_follows_from_one_fault_is_not_told_beside_it(
    tmp_path: Path, place: Place, value: Any
) -> None:
    text = changed(STUDY, place, None, value)
    _, lines = parse(text, "own.yaml")
    found = told(tmp_path, text)
    assert len(found) == 1, found
    ends = [line for at, line in lines.items() if at[: len(place)] == place]
    assert lines[place] <= found[0][0] <= max(ends)


@pytest.mark.parametrize(
    ("right", "wrong", "offered", "not_offered"),
    [
        ("[xnli", "[mnlii", "'xnli'", "'mnli'"),
        ("[xnli", "[mnli", "'xnli'", "'mnli'"),
        ("[none, mnli]", "[none, xnlli]", "'mnli'", "'xnli'"),
        ("xlm-r-large", "XLM-R-Large", "'xlm-r-large'", "XLM-R"),
        ("[sw, ur]", "[swahili, ur]", "'sw'", "'swahili' or"),
    ],
)
def test_only_names_that_fit_the_place_are_offered(
    tmp_path: Path, right: str, wrong: str, offered: str, not_offered: str
) -> None:
    ((_, text),) = told(tmp_path, SHORT.replace(right, wrong, 1))
    hint = text.partition("Did you mean ")[2] or text.partition("Valid: ")[2]
    assert offered.strip("'") in hint.split("?")[0]
    assert not_offered not in hint


def test_a_fault_crosses_processes_whole() -> None:
    fault = FieldError(("a", 0), "Unknown tag 'x'.", "x", ["y"])
    copied = pickle.loads(pickle.dumps(fault))
    assert (str(copied), vars(copied)) == (str(fault), vars(fault))


def test_suggestions_differ_and_long_lists_say_how_many_there_are() -> None:
    assert nearest("xh", ["xh", "xho", "xh", "bxr", "bxr"]) == ["xh", "xho", "bxr"]
    assert did_you_mean("bb", ["ab", "bb", "zz"]) == "Did you mean 'bb' or 'ab'? Valid: bb, ab, zz."
    many = did_you_mean("name-07", (f"name-{at:02}" for at in range(99)), "tasks")
    assert many.startswith("Did you mean 'name-07' or 'name-0")
    assert many.endswith(", … (99 in all; `scaling ls tasks` lists them).")
