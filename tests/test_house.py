"""Tests lie where what they test lies, names are found once, and what is public says what it is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.helpers import house

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def test_no_test_imports_another_or_changes_where_python_looks() -> None:
    refused = re.compile(r"\b(from|import) (tests\b(?!\.helpers)|test_|conftest)|sys\.path\b")
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for folder in (TESTS, ROOT / "benchmarks")
        for file in sorted(folder.rglob("*.py"))
        for match in refused.finditer(file.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_test_lies_in_the_room_of_the_file_it_tests() -> None:
    for test in sorted(TESTS.glob("*/**/test_*.py")):
        room = test.parent.relative_to(TESTS)
        if room.parts[0] == "end_to_end":
            continue
        top = ROOT if room.parts[0] in ("analysis", "jobs") else ROOT / "scaling"
        file = top / room / test.name.removeprefix("test_")
        # A test that has the name of its room tests what the room's `__init__` states.
        assert file.is_file() or file.stem == room.name, f"{test.relative_to(ROOT)}: no {file}"


def described() -> list[str]:
    """Folders of which every definition is held to its docstring."""
    rooms = sorted(file.name for file in (ROOT / "scaling").iterdir() if file.suffix in ("", ".py"))
    rooms = [f"scaling/{room}" for room in rooms if room != "__pycache__"]
    return [*rooms, "analysis", "jobs"]


def test_every_public_definition_says_what_it_is_in_one_line_first() -> None:
    assert house.without_docstring(*described()) == []
    assert house.split_summaries(*described()) == []


def test_what_takes_tensors_names_shapes_and_four_parameters_are_described() -> None:
    assert house.without_shape(*described()) == []
    assert house.without_args(*described()) == []


def test_a_base_name_is_found_once() -> None:
    assert house.twins() == {}


def test_nothing_is_kept_from_the_formatter() -> None:
    assert house.format_skips() == []
