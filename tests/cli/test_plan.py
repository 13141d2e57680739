"""`scaling plan` works on a laptop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_plan_of_the_full_study_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; [sys.modules.__setitem__(name, None) for name in ('torch', 'ray',"
        " 'transformers', 'deepspeed')];sys.argv = ['scaling', 'plan', 'xtreme_r', '--store',"
        " sys.argv[1]];from scaling.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "unique steps" in done.stdout
    assert not (tmp_path / "s").exists()
