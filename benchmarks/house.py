"""`make bench-house`: the shape of the code, counted. A second, without torch.

PYTHONPATH=. python -m benchmarks.house --old-store runs/demo   # a store that older code filled
"""

from __future__ import annotations

import argparse
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import grimp

from benchmarks.results_table import write_results
from scaling.planning.progress import current_plan
from scaling.store.pending import pending_steps
from scaling.store.store import Store
from scaling.study.study import load_study
from tests.helpers import house
from tests.helpers.studies import HARM

# A file a command, a file a benchmark's tasks: they grow with what there is, not with ideas.
GROWING = ("cli", "catalogue")


def _count(figure: str, target: str, found: Sequence[str], most: int = 0) -> dict[str, Any]:
    value = f"{len(found):,}" + (f": {', '.join(found[:3])}" if len(found) > most else "")
    return {"figure": figure, "target": target, "value": value, "met": len(found) <= most}


def rooms() -> Iterator[dict[str, Any]]:
    """Flat modules, rooms and the largest of them, from the folders."""
    top = house.ROOT / "scaling"
    flat = sorted(path.name for path in top.glob("*.py") if path.stem != "__init__")
    yield {
        "figure": "flat modules at the top of scaling/",
        "target": "1 (spec.py)",
        "value": f"{len(flat)} ({' '.join(flat)})",
        "met": flat == ["spec.py"],
    }
    folders = sorted(path.parent for path in top.glob("*/__init__.py"))
    sizes = {
        path.name: sum(file.stem != "__init__" for file in path.glob("*.py"))
        for path in folders
        if path.name not in GROWING
    }
    largest = max(sizes, key=lambda room: sizes[room])
    yield {
        "figure": "rooms; files in the largest, readers, metrics, catalogue and cli apart",
        "target": "<= 11; <= 12",
        "value": f"{len(folders)} and spec.py; {sizes[largest]} ({largest})",
        "met": len(folders) <= 11 and sizes[largest] <= 12,
    }


def imports() -> Iterator[dict[str, Any]]:
    """Arrows that run up between rooms, and circles, from the graph of imports."""
    settings = tomllib.loads((house.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    floor = {room: number for number, room in enumerate(reversed(layers))}
    graph = grimp.build_graph("scaling", cache_dir=None)
    arrows: Counter[tuple[str, str]] = Counter()
    below: dict[str, set[str]] = {}
    for module in graph.modules:
        below[module] = graph.find_modules_directly_imported_by(module)
        for other in below[module]:
            ends = [name.split(".")[1] if "." in name else "" for name in (module, other)]
            if all(ends) and ends[0] != ends[1]:
                arrows[ends[0], ends[1]] += 1
    up = [f"{a} → {b}" for a, b in arrows if floor.get(a, -1) <= floor.get(b, len(floor))]
    row = _count("arrows between rooms that run up", "0", up)
    yield {**row, "value": f"{row['value']} of {len(arrows)} ({arrows.total():,} imports)"}
    try:
        tuple(TopologicalSorter(below).static_order())
        circle: list[str] = []
    except CycleError as error:
        circle = [" → ".join(error.args[1])]
    yield _count(f"circles among {len(below)} modules", "0", circle)


def text() -> Iterator[dict[str, Any]]:
    """Lines, names and docstrings."""
    yield _count("lines of .py over 100 columns", "0", house.long_lines())
    yield _count("places that are kept from the formatter", "0", house.format_skips())
    public = sum(1 for _ in house.definitions(*house.PACKAGES))
    for figure, found in (
        (f"public definitions without a docstring, of {public:,}", house.without_docstring),
        ("docstrings whose first sentence is not one line", house.split_summaries),
        ("public tensor functions that name no shape", house.without_shape),
        ("public functions of four parameters without Args", house.without_args),
    ):
        yield _count(figure, "0", found(*house.PACKAGES))
    twins = [f"{name} in {' '.join(files)}" for name, files in house.twins().items()]
    yield _count("base names twice, but commands, lora and readers", "0", twins)


def old_store(uri: str | None, name: str) -> dict[str, Any]:
    """Steps that the present code would run again in a store that older code filled."""
    figure = {"figure": "steps of a filled store that would run again", "target": "0"}
    if uri is None:
        return {**figure, "value": "not run: needs --old-store", "met": False}
    store = Store.open(uri)
    store.check_study(name)
    plan, scan = current_plan(load_study(name), store), store.scan()
    done = store.records(step for step in scan.done if step in plan.steps)
    again = pending_steps(plan, scan)
    value = f"{len(again):,} of {len(plan.steps):,}; {len(done):,} of its records are in the plan"
    return {**figure, "value": value, "met": not again and bool(done)}


def questions() -> dict[str, Any]:
    """The questions of docs/where.md; tests/test_docs.py holds that the answers exist."""
    rows = (house.ROOT / "docs" / "where.md").read_text(encoding="utf-8").splitlines()
    count = sum(row.startswith("| ") and "?" in row for row in rows)
    return {
        "figure": "questions with file and name in docs/where.md",
        "target": "22",
        "value": str(count),
        "met": count == 22,
    }


def main() -> None:
    """Counts, prints and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--old-store", help="A store that was filled by older code.")
    parser.add_argument("--study", default=str(HARM), help="The study that filled it.")
    given = parser.parse_args()
    rows = [*rooms(), *imports(), *text(), old_store(given.old_store, given.study), questions()]
    write_results("house", rows)


if __name__ == "__main__":
    main()
