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
