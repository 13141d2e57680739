"""Every licence and every citation of the catalogue, and the bibliography that they point into."""

from __future__ import annotations

import pytest

from scaling.catalogue import TASKS
from scaling.catalogue.models import MODELS
from scaling.catalogue.references import BIBLIOGRAPHY, cited, parse_references, references
from scaling.spec import BadFile

THINGS = {**TASKS, **MODELS}
ENTRY = """@misc{mine2025,
  author = {Me},
  title = {{Mine}},
  year = {2025},
  source = {unseen},
}
"""


def openable(source: str) -> bool:
    return source == "unseen" or source.startswith(("https://github.com/", "package:"))


@pytest.mark.parametrize("name", THINGS)
def test_every_task_and_model_has_a_licence_and_keys_that_exist(name: str) -> None:
    thing = THINGS[name]
    assert thing.licence
    assert openable(thing.licence_source)
    # What nobody has found stated is stated nowhere.
    assert thing.licence != "unseen" or thing.licence_source == "unseen"
    keys = cited(thing.citation)
    assert keys
    assert set(keys) <= references().keys()


def test_every_entry_is_used_and_has_a_source() -> None:
    used = {key for thing in THINGS.values() for key in cited(thing.citation)}
    assert references().keys() == used
    assert all(openable(reference.source) for reference in references().values())
    # Every entry was read, and none between two others skipped.
    assert BIBLIOGRAPHY.read_text(encoding="utf-8").count("\n@") == len(references())
    assert list(references()) == sorted(references())


def test_an_entry_is_read_whole() -> None:
    entry = parse_references("% words\n\n" + ENTRY, "x.bib")["mine2025"]
    assert (entry.source, entry.bibtex) == ("unseen", ENTRY.strip())


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  source = {unseen},\n", "", "x.bib:1: mine2025 needs"),
        ("{{Mine}}", "{{Mine}", "x.bib:3: mine2025: no field in braces that close"),
        ("{{Mine}}", "{}Mine{}", "x.bib:3: mine2025: no field in braces that close"),
        ("@misc{mine2025,", "@misc{mine2025", "x.bib:1: no entry"),
        ("  year = {2025},", "  year = 2025,", "x.bib:4: mine2025: no field"),
        ("unseen},\n}\n", "unseen},\n}\n" + ENTRY, "x.bib:7: mine2025 is there twice"),
    ],
)
def test_what_is_no_bibliography(old: str, new: str, fault: str) -> None:
    assert old in ENTRY
    with pytest.raises(BadFile, match=fault):
        parse_references(ENTRY.replace(old, new), "x.bib")
