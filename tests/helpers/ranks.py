"""The ranks of a world, each a process of one thread that runs a module of these helpers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def run_ranks(module: str, folder: Path, size: int, given: Sequence[str], seconds: float) -> None:
    """Run `python -m module *given RANK SIZE` for every rank.

    RuntimeError with the last words of one that fails; nobody is left running.

    Args:
        module: Its name.
        folder: Where their output goes.
        size: How many ranks.
        given: Words of the command.
        seconds: How long one may take.
    """
    # Into files: a pipe that nobody reads yet would stop the rank that fills it.
    outputs = [folder / f"output-{size}-{rank}" for rank in range(size)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", module, *given, str(rank), str(size)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
            stdout=output.open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank, output in enumerate(outputs)
    ]
    try:
        for process, output in zip(processes, outputs, strict=True):
            if process.wait(timeout=seconds):
                raise RuntimeError(output.read_text()[-4000:])
    finally:
        for process in processes:
            process.kill()
