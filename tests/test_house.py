"""Tests lie where what they test lies, and share by `tests.helpers` alone."""

from __future__ import annotations

import re
from pathlib import Path

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
