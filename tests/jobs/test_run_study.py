"""The entry point of a job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_jobs_entry_point_runs_outside_the_repository(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "run_study.py"), "demoo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "no named study" in done.stderr
