"""Lines of code that an architecture and a size take, counted in the catalogue as it stands.

python -m benchmarks.families_lines
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.nodes import ROOT
from benchmarks.results_table import write_results
from scaling.catalogue.architecture_entries import ARCHITECTURES

_CATALOGUE = ROOT / "scaling" / "catalogue"


def _lines(node: ast.AST) -> int:
    return int(node.end_lineno - node.lineno + 1)  # type: ignore[attr-defined]


def _statements(path: Path) -> dict[str, ast.stmt]:
    """What a module defines at its top: name → statement."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return found


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def lines_of_architectures() -> dict[str, int]:
    """Lines by architecture: its entry, its place in the list, and what it is the first to use."""
    statements, counted = _statements(_CATALOGUE / "architecture_entries.py"), set[str]()
    entries = {name: node for name, node in statements.items() if name.isupper() and name[0] != "_"}
    entries.pop("ARCHITECTURES")
    found = {}
    for name in entries:
        own, waiting = 1, {name}
        while waiting:
            one = waiting.pop()
            counted.add(one)
            own += _lines(statements[one])
            waiting |= (_names(statements[one]) & statements.keys()) - counted - entries.keys()
        found[name] = own
    return found


def lines_of_sizes() -> dict[str, int]:
    """Lines that each call in the list of models takes, of a size of a family that is there."""
    statements = _statements(_CATALOGUE / "models.py")
    every = statements["_ALL"]
    assert isinstance(every, ast.Assign) and isinstance(every.value, ast.Tuple)
    # A ladder of a family, or sizes of the same shapes, in one line of a loop.
    calls = [one for one in every.value.elts if isinstance(one, ast.Call)]
    calls += [statements[name].value for name in ("_LARGE", "_XL")]  # type: ignore[attr-defined]
    return {
        ast.unparse(call.args[0]): _lines(call)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id != "ModelSpec"
    }


def figures(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of all architectures and sizes, whatever is named: figure, target, value, met."""
    by_name = lines_of_architectures()
    if len(by_name) != len(ARCHITECTURES):
        raise RuntimeError(f"entries are missed: {sorted(by_name)}")
    within = [name for name, lines in by_name.items() if lines <= 40]
    yield {
        "figure": "lines of an architecture, with the constants that it is the first to use",
        "target": "≤ 40",
        "value": f"{len(within)} of {len(by_name)} within: "
        + ", ".join(f"{name.lower()} {lines}" for name, lines in by_name.items()),
        "met": len(within) == len(by_name),
    }
    sizes = lines_of_sizes()
    most = max(sizes, key=sizes.__getitem__)
    yield {
        "figure": "lines of a size of a known family",
        "target": "≤ 8",
        "value": f"{max(sizes.values())} at most ({most}), of {len(sizes)} sizes in the catalogue",
        "met": max(sizes.values()) <= 8,
    }


PARTS = {"lines": figures}

if __name__ == "__main__":
    write_results("families", list(figures(())), keep=True)
