"""CITATION.cff says what pyproject.toml says, and names nobody and no place that does not exist."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.helpers.house import ROOT

# Fields of the format (version 1.2.0) that would name a person, a page or an identifier.
NOT_THERE = {"doi", "url", "repository", "repository-code", "repository-artifact", "identifiers"}
PERSON = {"family-names", "given-names", "orcid", "email", "affiliation"}


def cited() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_it_is_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = cited()
    assert found["cff-version"] == "1.2.0" and found["message"]
    assert found["version"] == project["version"]
    assert found["license"] == project["license"]
    assert found["title"].startswith(f"{project['name']}: ")
    assert found["authors"] == [{"name": f"The contributors of {project['name']}"}]


def test_nobody_and_no_address_is_invented() -> None:
    found = cited()
    assert not found.keys() & NOT_THERE
    assert not any(author.keys() & PERSON for author in found["authors"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not project.keys() & {"authors", "maintainers", "urls"}
    # Nothing tells a reader to install this project from an index that does not have it.
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"pip install [\"']?stilts-scaling", text), page.name
        assert "pypi.org/project/stilts" not in text and "badge" not in text, page.name
