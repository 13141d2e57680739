"""The readers that the catalogue describes are the readers that there are."""

from __future__ import annotations

import inspect
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from scaling.catalogue.metrics import METRIC_KINDS, MLQA_LANGUAGES
from scaling.catalogue.readers import (
    PACKAGE_READERS,
    READER_KINDS,
    RECORDS,
    SHARED,
    Option,
    option_fault,
)
from scaling.data import readers
from scaling.data.readers import READERS, records, texts_by_id
from scaling.kinds import KINDS
from scaling.kinds.metrics import METRICS, answers

_USED = re.compile(
    r'options(?:\.get\(|\[)\s*"(\w+)"'
    r'|"(\w+)" (?:not )?in (?:request\.)?options'
    r'|_text\(request, place, record, "(\w+)"\)'
)


def used(code: str) -> set[str]:
    """Options that a piece of code looks at."""
    return {name for found in _USED.findall(code) for name in found if name}


def module_of(reader: str) -> ModuleType:
    function = getattr(readers, f"read_{reader}")
    return sys.modules[function.__module__]


def test_every_reader_and_metric_is_described() -> None:
    assert READER_KINDS.keys() == READERS.keys()
    assert METRIC_KINDS.keys() == METRICS.keys()
    assert {kind for kinds in READER_KINDS.values() for kind in kinds} == KINDS.keys()
    assert {kind for kinds in METRIC_KINDS.values() for kind in kinds} == KINDS.keys()
    assert set(MLQA_LANGUAGES) == set(answers._MLQA_ARTICLES)
    assert set(PACKAGE_READERS) < READERS.keys()


FLAT = ("delimited", "jsonl", "hub_parquet")


@pytest.mark.parametrize("reader", sorted(set(READERS) - {"squad_pairs", "jsonl", *FLAT}))
def test_the_options_of_a_reader_are_those_that_its_code_looks_at(reader: str) -> None:
    described = {name for options in READER_KINDS[reader].values() for name in options}
    helpers = inspect.getsource(records.mapped) if "label_map" in described else ""
    helpers += inspect.getsource(records.question) if "unanswerable" in described else ""
    helpers += inspect.getsource(texts_by_id) if "form" in described else ""
    assert used(inspect.getsource(module_of(reader)) + helpers) - {"name"} == described


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_the_options_of_flat_records_are_those_that_the_code_looks_at(kind: str) -> None:
    parts: dict[str, list[Any]] = {
        "classification": [
            records._classification,
            records._is_unlabelled,
            records._name,
            records._is_absent,
        ],
        "multiple_choice": [
            records._multiple_choice,
            records._is_unlabelled,
            records._choices,
            records._is_absent,
        ],
        "tagging": [records._tagging, records._name],
        "span_qa": [records._span_qa, records.question, records._is_absent],
        "retrieval": [records._retrieval],
        "masked_lm": [records._masked_lm],
    }
    mapped = (
        [] if kind not in ("classification", "multiple_choice", "tagging") else [records.mapped]
    )
    functions = [records.rows, records._id, *parts[kind], *mapped]
    found = set().union(*(used(inspect.getsource(function)) for function in functions))
    assert found | {"name"} == set(RECORDS[kind])  # type: ignore[index]
    assert set(RECORDS[kind]) <= set(READER_KINDS["jsonl"][kind])  # type: ignore[index]


def test_the_options_of_tables_are_those_that_the_code_looks_at() -> None:
    own = {"delimiter", "columns"}
    assert used(inspect.getsource(module_of("delimited"))) == own
    for kind, options in READER_KINDS["delimited"].items():
        assert set(options) == set(RECORDS[kind]) | own
    assert used(inspect.getsource(module_of("jsonl"))) == {"records"}
    for kind, options in READER_KINDS["jsonl"].items():
        assert set(options) == set(RECORDS[kind]) | {"records"}


def test_every_option_that_names_a_column_may_hold_the_language() -> None:
    columns = {
        name
        for options in RECORDS.values()
        for name in options
        if name not in ("label_map", "label_names", "languages", "name", "optional", "question_map")
        and name != "unanswerable"
    }
    assert columns == set(records._COLUMNS)


def test_shared_options_are_those_of_staging() -> None:
    from scaling.catalogue import task
    from scaling.data import readers, rows
    from scaling.data.readers import raw

    code = "".join(map(inspect.getsource, (task, readers, rows, raw)))
    assert used(code) - {"name"} == set(SHARED)


@pytest.mark.parametrize(
    ("option", "right", "wrong"),
    [
        (Option(form="text"), ["a", ""], [1, True, ["a"], None]),
        (Option(form="text", values=("a", "b")), ["a"], [1, ["a"]]),
        (Option(form="texts"), [["a"], ("a", "b")], ["a", [], ["a", "a"], [1], {"a": "b"}]),
        (Option(form="texts", length=2), [["a", "b"]], [["a"], ["a", "b", "c"]]),
        (Option(form="text or texts"), ["a", ["a", "b"]], [1, [], ["a", 1]]),
        (Option(form="integer"), [0, -1], [True, 1.0, "1"]),
        (Option(form="share"), [0.1, 0.999], [0, 1, True, "0.5", float("nan"), -0.1]),
        (Option(form="flag"), [True, False], [1, 0, "yes"]),
        (Option(form="map"), [{"a": "b"}], [{}, {"a": 1}, "a", ["a"]]),
    ],
)
def test_values_of_options(option: Option, right: list[Any], wrong: list[Any]) -> None:
    assert [option_fault(option, value) for value in right] == [""] * len(right)
    assert all(option_fault(option, value) for value in wrong)
