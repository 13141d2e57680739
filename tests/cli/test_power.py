"""`scaling power` before anything ran."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.command import scaling


def test_power_of_a_study_before_it_runs(tmp_path: Path) -> None:
    done = scaling("power", "--studies", "0", "xtreme_r", "--effect", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "detect 1 points per tenfold with power 0.8" in done.stdout
    # Base and XXL are the ends of the axis; Base costs next to nothing.
    assert "one more seed at xlm-r-base" in done.stdout
