"""Every value where it enters: of its type and in its range, or refused at its line in a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from analysis.claims import ClaimsFile
from scaling.planning.forecast import Prices
from scaling.spec import MOST_DEPTH, BadFile, load, parse
from scaling.study.recipes import Recipe
from scaling.study.study import Study

STUDY: dict[str, Any] = {
    "name": "own",
    "models": ["mine"],
    "arms": [
        "none",
        {
            "name": "both",
            "train_on": ["one"],
            "sampling": {"cap": 8},
            "mlm": {"task": "text", "ratio": 1.0},
            "adapt": [{"task": "text", "exponent": 0.5}],
            "new_pieces": 2,
        },
    ],
    "targets": ["one"],
    "seeds": [0],
    "limits": {"train": 8},
    "recipes": {"default": {"batch": 8}},
    "placement": {"default": {"workers": 1}},
    "question": {"margin": 0.5},
    "method": "full",
    "define": {
        "models": [
            {
                "name": "mine",
                "family": "own",
                "architecture": "xlm-roberta",
                "source": "dir:mine",
                "num_layers": 1,
                "hidden": 8,
                "ffn": 8,
                "num_heads": 2,
                "vocab_rows": 10,
            }
        ],
        "tasks": [
            {
                "name": "one",
                "kind": "classification",
                "metric": "accuracy",
                "labels": ["a", "b"],
                "languages": ["de"],
                "sizes": {"train": 8},
                "defects": {"empty_text": {"train": 1}},
                "data": [
                    {
                        "reader": "jsonl",
                        "source": "dir:one",
                        "files": {split: [f"{split}.jsonl"] for split in ("train", "dev", "test")},
                        "codes": {"de": "ger"},
                        "options": {"text_a": "t", "label": "l"},
                    }
                ],
            },
            {
                "name": "text",
                "kind": "masked_lm",
                "metric": "tag_f1",
                "train_languages": ["de"],
                "data": [
                    {"reader": "plain_text", "source": "dir:t", "files": {"train": ["{lang}.txt"]}}
                ],
            },
        ],
        "tables": {"latin": {"a": "b"}},
    },
}
CLAIMS: dict[str, Any] = {
    "claims": [
        {
            "name": "one",
            "says": "It grows.",
            "source": "nowhere",
            "of": {"arms": ["a"]},
            "against": {"targets": ["b"]},
            "expect": {"direction": "positive"},
        }
    ]
}
PRICES: dict[str, Any] = {"dated": "2026-12", "dollars_per_hour": {"h100-80": 2.5}}

# Where in a document a model stands.
PLACES: list[tuple[type[BaseModel], dict[str, Any], dict[str, tuple[str | int, ...]]]] = [
    (
        Study,
        STUDY,
        {
            "Study": (),
            "Arm": ("arms", 1),
            "Sampling": ("arms", 1, "sampling"),
            "Alternated": ("arms", 1, "mlm"),
            "Text": ("arms", 1, "adapt", 0),
            "Question": ("question",),
            "Lora": ("lora",),
            "Placement": ("placement", "default"),
            "Definitions": ("define",),
            "ModelSpec": ("define", "models", 0),
            "TaskSpec": ("define", "tasks", 0),
            "DataRef": ("define", "tasks", 0, "data", 0),
            "Recipe": ("recipes", "default"),
        },
    ),
    (
        ClaimsFile,
        CLAIMS,
        {
            "ClaimsFile": (),
            "Claim": ("claims", 0),
            "Selection": ("claims", 0, "of"),
            "Expectation": ("claims", 0, "expect"),
        },
    ),
    (Prices, PRICES, {"Prices": ()}),
]
NUMBERS = [float("nan"), float("inf"), -float("inf")]


def wrong_values(schema: dict[str, Any]) -> list[Any]:
    """Values that a field of this JSON schema must refuse."""
    options = schema.get("anyOf", [schema])
    types = {option.get("type") for option in options}
    found: list[Any] = []
    if "integer" in types:
        low = next((o for o in options if o.get("type") == "integer"), {})
        found += [True, "0", 1.5, 10**15, float("nan")]
        found += [] if "string" in types else ["per"]
        if "exclusiveMinimum" in low or "minimum" in low:
            found.append(low.get("exclusiveMinimum", low.get("minimum")) - 1)
    elif "number" in types:
        found += [True, "0.5", *NUMBERS, [1.0]]
    elif types & {"string"}:
        found += [3, 1.5, True, ["x"], {"a": "b"}] if types <= {"string", "null"} else [1.5, True]
    elif "boolean" in types:
        found += [1, 0, "yes", "false"]
    elif "array" in types:
        items = next(o for o in options if o.get("type") == "array").get("items", {})
        found += [3, True, "x" if "string" not in types else 7, [True]]
        if items.get("type") == "string":
            found += [["twice", "twice"], [3], [["x"]]]
        if items.get("type") == "integer":
            found += [[1, 1], ["1"], [1.5], [-1]]
    elif "object" in types or any("$ref" in option for option in options):
        found += [3, True, ["x"]]
    elif "const" in schema or "enum" in schema or any("enum" in option for option in options):
        found += ["no such", 1.5, True]
    return found


def every_field() -> Iterator[tuple[type[BaseModel], dict[str, Any], tuple[str | int, ...], Any]]:
    for model, document, places in PLACES:
        schema = model.model_json_schema()
        known = {**schema.get("$defs", {}), model.__name__: schema}
        known["Recipe"] = Recipe.model_json_schema()
        for name, path in places.items():
            for field, own in known[name]["properties"].items():
                for value in wrong_values(own):
                    yield model, document, (*path, field), value


def with_value(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> str:
    """The document as YAML, with a value at a path."""
    changed = yaml.safe_load(yaml.safe_dump(document))
    place: Any = changed
    for part in path[:-1]:
        if isinstance(place, dict):
            place.setdefault(part, {})
        place = place[part]
    place[path[-1]] = value
    return yaml.safe_dump(changed, allow_unicode=True)


FIELDS = list(every_field())


def test_the_documents_are_right_as_they_are(tmp_path: Path) -> None:
    for model, document, _ in PLACES:
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        load(model, tmp_path / "own.yaml")


def test_a_value_of_the_wrong_type_or_range_is_refused_at_its_line(tmp_path: Path) -> None:
    """Generated from the schemas: every field of every one that a user writes."""
    assert len({path for _, _, path, _ in FIELDS}) > 100
    wrong = []
    slowest = 0.0
    for model, document, path, value in FIELDS:
        text = with_value(document, path, value)
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        _, lines = parse(text, "own.yaml")
        start = time.process_time()
        try:
            load(model, tmp_path / "own.yaml")
            wrong.append((path, value, "accepted"))
        except BadFile as error:
            first, last = lines[path], max(n for p, n in lines.items() if p[: len(path)] == path)
            named = [
                int(line.split("own.yaml:")[1].split(":")[0]) for line in str(error).split("\n")
            ]
            if not any(first <= line <= last for line in named):
                wrong.append((path, value, str(error)))
        slowest = max(slowest, time.process_time() - start)
    assert not wrong
    assert slowest < 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: own\ntitle: caf\xe9\n", "own.yaml:2: not UTF-8"),
        (b"name: own\ntitle: a\x00b\n", r"own.yaml:2: not YAML: the character U\+0000"),
        (b"a: &a [1]\nb: *a\n", "own.yaml:2: not YAML: an alias; write the value out"),
        (b"<<: {a: 1}\n", "own.yaml:1: '<<' cannot be read"),
        (b"[" * 60 + b"]" * 60, f"own.yaml:1: not YAML: more than {MOST_DEPTH} levels"),
        (b"[" * 100_000, f"own.yaml:1: not YAML: more than {MOST_DEPTH} levels"),
        (b"name: !!python/object:os.system {}\n", "own.yaml:1: a tag"),
        (b"name: !!int x\n", "own.yaml:1: 'x' cannot be read"),
        (b"title: 2026-13-45\n", "own.yaml:1: '2026-13-45' cannot be read"),
        (b"seeds: [" + b"1" * 5000 + b"]\n", "own.yaml:1: .* cannot be read"),
        (b"? [a]\n: b\n", "own.yaml:1: a key that is no plain text"),
        (b"name: own\nlanguages: [no]\n", "own.yaml:2: languages.0: .*put it in quotes"),
        (b"- a\n", "own.yaml:1: file: Input should be"),
        (b"a: 'x\n", "own.yaml:2: not YAML"),
        (b"x" * (2**20 + 1), "characters; 1,048,576 are the most"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_yaml_that_cannot_be_read(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    start = time.process_time()
    with pytest.raises(BadFile, match=message):
        load(Study, tmp_path / "own.yaml")
    assert time.process_time() - start < 2


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.yaml", tmp_path / ("x" * 5000)):
        with pytest.raises(BadFile):
            load(Study, path)
