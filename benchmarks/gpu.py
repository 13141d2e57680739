"""`make bench-gpu`: what only a GPU can show, in parts of at most five minutes, most telling first.

    python -m benchmarks.gpu                 every part (an hour at most)
    python -m benchmarks.gpu update leaks    some; any order, each alone
    python -m benchmarks.gpu --small         everything tiny on this machine's CPU: does it run?

Figures are kept as they come: a part that is cut off loses only what it had not said yet. A machine
with torch, accelerate, peft, pyarrow, scipy, numpy, pyyaml and jinja2 needs `transformers==5.23.0`,
`deepspeed==0.19.8` and pydantic besides; neither ray nor polars. Tried with Python 3.11 and 3.12,
torch 2.13 and 2.11.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results_table import machine, write_results

PART_SECONDS = 300
# Tiny, on a CPU that others use too.
SMALL_SECONDS = 900
# In the order of `PARTS`, which is not imported here: this process leaves the device alone.
NAMES = "update leaks law phases constants peer packing xl bf16 scoring ranks".split()
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "DS_LOG_LEVEL": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTORCH_ALLOC_CONF": "expandable_segments:True",
}


def run(part: str, *, small: bool) -> tuple[list[dict[str, Any]], str, str]:
    """(rows of a part, the device's name, what went wrong) from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.gpu", "--child", folder, part]
        problem, limit = "", SMALL_SECONDS if small else PART_SECONDS
        try:
            done = subprocess.run(
                [*command, *(["--small"] if small else [])],
                env={**ENVIRONMENT, **os.environ},
                cwd=Path(__file__).parents[1],
                capture_output=True,
                text=True,
                check=False,
                timeout=limit,
            )
            if done.returncode:
                problem = (done.stderr or done.stdout)[-3000:]
        except subprocess.TimeoutExpired:
            problem = f"cut off after {limit} s"
        said = Path(folder) / "rows.jsonl"
        lines = said.read_text(encoding="utf-8").splitlines() if said.exists() else ["{}"]
    device, *rows = map(json.loads, lines)
    return rows, device.get("device", "unknown"), problem


def child(part: str, folder: Path, *, small: bool) -> None:
    """One part; every row is written as soon as it is known."""
    import warnings

    warnings.filterwarnings("ignore")
    import torch

    from benchmarks.gpu_parts import PARTS, Bench
    from scaling.encoders.engine import join_world

    if not small and not torch.cuda.is_available():
        sys.exit("bench-gpu needs a GPU, and this machine has none; --small runs on its CPU")
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    bench = Bench(world=join_world(), folder=folder, small=small)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
        print(json.dumps({"device": bench.device[0]}), file=out, flush=True)
        for row in PARTS[part](bench):
            print(json.dumps(row), file=out, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What only a GPU can show, part by part.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"Of {', '.join(NAMES)}.")
    parser.add_argument("--small", action="store_true", help="Tiny, on a CPU too; nothing is kept.")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [part for part in given.parts if part not in NAMES]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(NAMES)}")
    if given.child is not None:
        child(given.parts[0], given.child, small=given.small)
        return
    failed = []
    for part in given.parts or NAMES:
        start = time.monotonic()
        rows, device, problem = run(part, small=given.small)
        for row in rows:
            print(f"{part}: {row['figure']}: {row['value']}", flush=True)
        print(f"{part}: {time.monotonic() - start:.0f} s on {device}. {problem}", flush=True)
        if problem:
            failed.append(part)
        if rows and not given.small:
            write_results("gpu", rows, keep=True, where=f"{device}; {machine()}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
