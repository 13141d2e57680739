"""What can be counted about the shape of the code: docstrings, shapes, names, lines."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("scaling", "analysis", "jobs")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Files of one name that a reader can guess: a command calls the room's file of its name, LoRA is
# asked in one room and done in another, and a reader is named after the format that it reads.
SAME_NAME = re.compile(r"scaling/(cli|data/readers)/|/lora\.py$|/__init__\.py$")
SHAPE = re.compile(r"\b[\w.]+ x [\w.]+\b|\[[\w.… ,]*\]|\bscalar|\b[B-HJ-Z]\b|\bshapes?\b")


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A public module, class, function or method."""

    file: str
    """From the top of the repository."""
    line: int
    name: str
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def docstring(self) -> str:
        """As it is in the code; empty where there is none."""
        return ast.get_docstring(self.node, clean=False) or ""

    @property
    def parameters(self) -> list[ast.arg]:
        """Of a function, without `self` and `cls`."""
        if not isinstance(self.node, _FUNCTIONS):
            return []
        given = self.node.args
        listed = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        return [one for one in listed if one.arg not in ("self", "cls")]

    @property
    def is_command(self) -> bool:
        """Whether it is a command of the CLI, whose parameters are described for `--help`."""
        return any(
            ast.unparse(decorator).startswith("app.command")
            for decorator in getattr(self.node, "decorator_list", ())
        )

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.name}"


def sources(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository; a file is itself."""
    found = ((ROOT / folder) for folder in folders)
    return sorted(
        file for folder in found for file in (folder.rglob("*.py") if folder.is_dir() else [folder])
    )


def definitions(*folders: str) -> Iterator[Definition]:
    """Public modules, and the public classes, functions and methods at their top."""
    for path in sources(*folders):
        file = path.relative_to(ROOT).as_posix()
        module = ast.parse(path.read_text(encoding="utf-8"))
        yield Definition(file=file, line=1, name=path.stem, node=module)
        yield from _below(module, file, "")


def _below(node: ast.Module | ast.ClassDef, file: str, prefix: str) -> Iterator[Definition]:
    for child in node.body:
        if isinstance(child, (ast.ClassDef, *_FUNCTIONS)) and not child.name.startswith("_"):
            name = prefix + child.name
            yield Definition(file=file, line=child.lineno, name=name, node=child)
            if isinstance(child, ast.ClassDef):
                yield from _below(child, file, f"{name}.")


def without_docstring(*folders: str) -> list[str]:
    """Public definitions that say nothing about themselves."""
    return [str(one) for one in definitions(*folders) if not one.docstring]


def split_summaries(*folders: str) -> list[str]:
    """Public definitions whose first sentence is broken over two lines."""
    return [
        str(one)
        for one in definitions(*folders)
        if len(lines := one.docstring.split("\n", 2)) > 1 and lines[1].strip()
    ]


def without_shape(*folders: str) -> list[str]:
    """Public functions that take or return a tensor or an array and name no shape."""
    return [
        str(one)
        for one in definitions(*folders)
        if isinstance(one.node, _FUNCTIONS)
        and any(
            re.search(r"\b(Tensor|Array|ndarray|NDArray)\b", ast.unparse(annotation))
            for annotation in (*(given.annotation for given in one.parameters), one.node.returns)
            if annotation is not None
        )
        and not SHAPE.search(one.docstring)
    ]


def without_args(*folders: str) -> list[str]:
    """Public functions of four parameters or more whose docstring describes none of them."""
    return [
        str(one)
        for one in definitions(*folders)
        if len(one.parameters) >= 4 and not one.is_command and "Args:" not in one.docstring
    ]


def twins() -> dict[str, list[str]]:
    """Base name → the files of `scaling/` that have it, where two do and no rule explains it."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in sources("scaling"):
        name = path.relative_to(ROOT).as_posix()
        if not SAME_NAME.search(name):
            files[path.name].append(name)
    return {name: found for name, found in files.items() if len(found) > 1}


def long_lines() -> list[str]:
    """Lines of Python over 100 columns, anywhere in the repository's own folders."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(*PACKAGES, "benchmarks", "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 100
    ]


def format_skips() -> list[str]:
    """Places that ruff was told not to format."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources(*PACKAGES, "benchmarks", "tests")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"# fmt: (skip|off)\b", line)
    ]
