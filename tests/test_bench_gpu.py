"""`make bench-gpu` runs, tiny and on a CPU: the first hour on a GPU must not end on a typo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.gpu import NAMES
from benchmarks.gpu_bench import Bench
from benchmarks.gpu_parts import PARTS, update
from scaling.encoders.engine import join_world

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[1]


def test_the_first_part_says_time_speed_and_memory(tmp_path: Path) -> None:
    bench = Bench(world=join_world(), folder=tmp_path, small=True)
    rows = list(update(bench, ("xlm-r-base",)))
    assert [set(row) for row in rows] == [{"figure", "target", "value", "met"}] * 4
    assert "over its roofline, xlm-r-base" in rows[0]["figure"] and " ms;" in rows[0]["value"]
    # No roofline of a GPU is reached here, and none may be recorded as if it were.
    assert not rows[0]["met"] and not rows[1]["met"]


def test_every_part_can_be_asked_for_in_the_order_of_what_it_tells() -> None:
    assert list(PARTS) == NAMES and NAMES[:2] == ["update", "leaks"]


@pytest.mark.slow
@pytest.mark.parametrize("part", NAMES)
def test_every_part_runs_alone_without_ray_and_polars(part: str, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
sys.modules["ray"] = sys.modules["polars"] = None  # importing them raises
from benchmarks.gpu import child
child({part!r}, Path({str(tmp_path)!r}), small=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    device, *rows = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert device == {"device": "cpu"} and rows


@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_keeps_no_figure() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "leaks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1 and "this machine has none" in done.stdout
    assert not (ROOT / "benchmarks" / "results" / "gpu.json").exists()
