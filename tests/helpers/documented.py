"""The commands and code blocks that the documentation shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from scaling.cli import app
from tests.helpers.house import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial.md"
# What stands for something of the reader's.
PLACEHOLDERS = {"STEP": "iii", "STUDY": "demo", "DIR": "folder", "[STEP]": "iii"}


def commands(page: Path, program: str = "scaling") -> list[str]:
    """Lines of code that call a program, in order, without their comments."""
    lines = [line.strip() for line in _code(page)]
    return [re.split(r"\s+#", line)[0] for line in lines if line.startswith(f"{program} ")]


def block(page: Path, language: str) -> str:
    """The one fenced block of a language."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    return str(found)


def _code(page: Path) -> Iterator[str]:
    """Lines that are indented, or fenced as nothing but lines for a shell."""
    fence = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence in ("```", "```sh") or (not fence and line.startswith("    ")):
            yield line


def filled(command: str) -> list[str]:
    """Arguments with something in the place of what is the reader's."""
    words = [word for word in shlex.split(command)[1:]]
    return [PLACEHOLDERS.get(word, word) for word in words]


def parsed(words: list[str]) -> str:
    """The name of the command that these words call; click's UsageError if they call none."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("scaling", list(words))
    name, found, rest = group.resolve_command(context, words)
    found.make_context(name, rest, parent=context)
    return str(name)
