"""Figures against their targets: printed as a table and written to benchmarks/results/NAME.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def write_results(
    name: str, rows: Sequence[Mapping[str, Any]], *, keep: bool = False, where: str = ""
) -> Path:
    """Adds command, machine and commit to rows of {figure, target, value, met}; prints them;
    returns the file.

    `keep`: figures in the file that are not among the rows stay, with their own commit. `where`:
    the machine, if it is more than its processor.
    """
    shared = {"command": f"make bench-{name}", "machine": where or machine(), "commit": commit()}
    full = [
        {**{key: row[key] for key in ("figure", "target", "value", "met")}, **shared}
        for row in rows
    ]
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    if keep and path.exists():
        now = {row["figure"] for row in full}
        earlier = json.loads(path.read_text(encoding="utf-8"))
        full += [row for row in earlier if row["figure"] not in now]
    path.write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    widths = [
        max(len(str(row[key])) for row in [dict(zip(_HEAD, _HEAD, strict=True)), *full])
        for key in _HEAD
    ]
    for row in [dict(zip(_HEAD, _HEAD, strict=True)), *full]:
        met = {True: "yes", False: "NO"}.get(row["met"], row["met"])
        cells = [str(row["figure"]), str(row["target"]), str(row["value"]), str(met)]
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        )
    print(
        f"{sum(bool(row['met']) for row in full)} of {len(full)} met;"
        f" {path.relative_to(FOLDER.parents[1])}"
    )
    return path


_HEAD = ("figure", "target", "value", "met")


def machine() -> str:
    """CPU model and the cores this process may use."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"


def commit() -> str:
    """Short hash of HEAD, with `+` where the working tree differs; `unknown` outside a
    repository.
    """
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    # Results files are what a benchmark changes; they do not make the code another one.
    return head + ("+" if any("benchmarks/results/" not in line for line in changed) else "")
