"""What the documentation names exists: files, links, and the answers of docs/where.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.helpers.house import PACKAGES, ROOT, sources

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FILES = [path.relative_to(ROOT).as_posix() for path in sources(*PACKAGES, "benchmarks", "tests")]
ROOMS = sorted(
    path.parent for path in (ROOT / "scaling").glob("*/__init__.py") if path.parent.name != "cli"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # A name with a line number is a file of another project; capitals stand for a name.
    named = set(re.findall(r"(?<![\w/.-])[a-z_/]+\.py\b(?!:\d)", text))
    missing = [name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in FILES)]
    assert missing == []
    tops = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
    paths = re.findall(rf"`((?:{tops})/[a-z0-9_/.-]+\.[a-z]+)`", text)
    links = re.findall(r"\]\(([\w/.-]+\.\w+)(?:#[\w-]+)?\)", text)
    assert [name for name in paths if not (ROOT / name).exists()] == []
    assert [name for name in links if not (page.parent / name).exists()] == []


def test_every_answer_of_where_leads_to_a_file_and_a_name_in_it() -> None:
    rows = (ROOT / "docs" / "where.md").read_text(encoding="utf-8").splitlines()
    questions = [row.split(" | ") for row in rows if row.startswith("| ") and "?" in row]
    assert len(questions) == 24
    for question, *hops in questions[:-1]:
        found = [re.search(r"`([\w/]+\.py)`: `([\w.]+)`", hop) for hop in hops]
        assert found[0] is not None, question
        for file, name in (match.groups() for match in found if match):
            assert name in names_in(ROOT / "scaling" / file), f"{question}: {file} has no {name}"


def names_in(file: Path) -> set[str]:
    """Classes, functions, methods and constants at the top of a file."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)
            }
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                name.id
                for target in targets
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            }
    return names


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_says_which_files_it_has_and_what_it_may_import(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    files = {path.name for path in room.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^ +(\w+\.py) ", said, re.M)) == files
    assert "May import" in said


def test_the_tree_of_the_readme_names_every_file_of_every_room() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.partition("## The tree")[2].partition("\n## ")[0]
    missing = [
        f"{room.name}/{path.stem}"
        for room in ROOMS
        for path in room.glob("*.py")
        if path.stem != "__init__" and not re.search(rf"\b{path.stem}\b", tree)
    ]
    assert missing == []
