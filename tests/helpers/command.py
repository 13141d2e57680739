"""The command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def scaling(
    *arguments: str, cwd: Path = ROOT, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """`scaling ARGUMENTS` in a folder, on a wide terminal; a failure is returned."""
    return subprocess.run(
        [sys.executable, "-m", "scaling.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
    )
