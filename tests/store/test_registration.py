"""The register: written once before the data, changes shown, growth to more seeds not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.store.files import StoreError
from scaling.store.registration import (
    changes,
    look,
    register,
    registrations,
    sentences,
    what_is_asked,
)
from scaling.store.store import Store
from scaling.study.study import Study
from tests.helpers.studies import BASE


@pytest.fixture
def place(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def test_the_first_run_registers_and_the_second_changes_nothing(place: Store) -> None:
    study = Study(**BASE)
    assert "was not registered" in sentences(study, registrations(place), 1)[0]
    register(study, place, 0)
    register(study, place, 7)
    (only,) = registrations(place)
    assert only.records == 0
    assert only.asked["targets"] == sorted(BASE["targets"])
    (said,) = sentences(study, [only], 1)
    assert "with 0 records" in said and "looked at 1 time." in said


def test_growing_up_to_the_registered_seeds_is_no_change(place: Store) -> None:
    register(Study(**{**BASE, "seeds": [0, 1, 2]}), place, 0)
    register(Study(**BASE), place, 3)
    assert len(registrations(place)) == 1
    more = Study(**{**BASE, "seeds": [0, 1, 2, 3]})
    register(more, place, 9)
    assert len(registrations(place)) == 2
    assert any(
        "most_seeds from 3 to 4" in line for line in sentences(more, registrations(place), 2)
    )


def test_more_seeds_at_one_size_are_said_of_that_size(place: Store) -> None:
    both = {**BASE, "models": ["xlm-r-base", "xlm-r-large"]}
    register(Study(**both), place, 0)
    assert registrations(place)[0].asked["most_seeds"] == 2
    register(Study(**{**both, "seeds": {"default": [0, 1], "xlm-r-large": [0]}}), place, 3)
    assert len(registrations(place)) == 1
    more = Study(**{**both, "seeds": {"default": [0, 1], "xlm-r-base": [0, 1, 2]}})
    register(more, place, 9)
    register(more, place, 11)
    said = sentences(more, registrations(place), 2)
    assert said[1].endswith("after 9 records: most_seeds of xlm-r-base from 2 to 3.")
    assert len(said) == 2
    register(Study(**{**both, "seeds": [0, 1, 2]}), place, 12)
    said = sentences(more, registrations(place), 2)
    assert said[2].endswith("after 12 records: most_seeds of xlm-r-large from 2 to 3.")


def test_a_change_after_the_data_is_said_with_what_it_changes(place: Store) -> None:
    register(Study(**BASE), place, 0)
    other = Study(**{**BASE, "question": {"margin": 2.0}})
    said = sentences(other, registrations(place), 3)
    assert "not registered: question.margin from 0.8 to 2.0" in said[-1]
    register(other, place, 12)
    said = sentences(other, registrations(place), 3)
    assert "after 12 records: question.margin from 0.8 to 2.0" in said[-1]


def test_an_entry_from_before_a_field_asked_its_default(place: Store) -> None:
    asked = what_is_asked(Study(**BASE))
    older = {**asked, "question": {**asked["question"]}}
    del older["question"]["examples"]
    assert changes(older, asked) == []
    such = what_is_asked(Study(**{**BASE, "question": {"examples": "such"}}))
    assert changes(older, such) == ["question.examples from 'these' to 'such'"]


def test_an_entry_that_was_edited_is_refused(place: Store) -> None:
    register(Study(**BASE), place, 0)
    raw = json.loads(place.read("registered/0000.json"))
    raw["asked"]["question"]["margin"] = 5.0
    place.write("registered/0000.json", json.dumps(raw))
    with pytest.raises(StoreError, match="was edited after it was written"):
        registrations(place)


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", "null", "3", "[" * 99999],
)
def test_what_is_no_registration_is_named(place: Store, text: str) -> None:
    place.write("registered/0000.json", text)
    with pytest.raises(StoreError, match=r"registered/0000\.json is broken .* restore it"):
        registrations(place)


@pytest.mark.parametrize(
    "change",
    [{"at": 3}, {"records": "1"}, {"records": True}, {"asked": []}, {"schema_version": "1"}],
)
def test_a_registration_with_other_values_is_named(place: Store, change: dict[str, object]) -> None:
    register(Study(**BASE), place, 0)
    raw = json.loads(place.read("registered/0000.json"))
    place.write("registered/0000.json", json.dumps({**raw, **change}))
    with pytest.raises(StoreError, match=r"registered/0000\.json is broken"):
        registrations(place)
    place.write("registered/0000.json", json.dumps({**raw, "schema_version": 7}))
    with pytest.raises(StoreError, match="has schema 7, this code reads 1"):
        registrations(place)


def test_what_a_killed_run_had_begun_to_write_is_no_entry(place: Store) -> None:
    register(Study(**BASE), place, 0)
    place.write("registered/.part-abc", "{")
    place.write("looks/.part-abc", "{")
    assert len(registrations(place)) == 1
    assert look(place, b"rows") == 1


def test_looks_are_counted_by_what_was_seen(place: Store) -> None:
    assert [look(place, rows) for rows in (b"a", b"a", b"b")] == [1, 1, 2]


def test_changes_are_named() -> None:
    assert changes({"most_seeds": 3}, {"most_seeds": 2}) == []
    assert changes({"reruns": 2}, {"reruns": 0}) == ["reruns from 2 to 0"]
