"""Every import contract refuses what it is there for: a violation of each is planted in a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.house import PACKAGES, ROOT

pytest.importorskip("importlinter")

ROOMS = "Rooms import one way, and every room is named here"
CIRCLES = "No circle inside a room"
TORCH = "Planning, status and the store work without torch"
RAY = "Ray in cluster/ only"
DEEPSPEED = "DeepSpeed in encoders/engine.py only"
ANALYSIS = "The analysis reads tidy rows only"
CONTRACTS = {ROOMS, CIRCLES, TORCH, RAY, DEEPSPEED, ANALYSIS}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their contracts, to be spoiled."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> tuple[set[str], set[str]]:
    """(kept, broken) contracts of the packages in a folder."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    summary = done.stdout.partition("Broken contracts")[0]
    found = {
        word: {
            name for name in CONTRACTS if re.search(rf"^{re.escape(name)} {word}\b", summary, re.M)
        }
        for word in ("KEPT", "BROKEN")
    }
    assert done.returncode == (1 if found["BROKEN"] else 0), done.stdout + done.stderr
    assert found["KEPT"] | found["BROKEN"] == CONTRACTS, done.stdout + done.stderr
    return found["KEPT"], found["BROKEN"]


def test_what_is_here_keeps_every_contract_and_no_contract_is_untested(copy: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {one["name"] for one in settings["tool"]["importlinter"]["contracts"]} == CONTRACTS
    assert lint(copy) == (CONTRACTS, set())


@pytest.mark.parametrize(
    ("file", "planted", "broken"),
    [
        ("scaling/study/recipes.py", "from scaling.cli import app", ROOMS),
        ("scaling/spec.py", "from scaling.catalogue import languages", ROOMS),
        ("scaling/attic.py", '"""A room that nobody named."""', ROOMS),
        ("scaling/study/arms.py", "from scaling.study import plan", CIRCLES),
        ("analysis/slope.py", "from analysis import report", CIRCLES),
        ("scaling/planning/rates.py", "import torch", TORCH),
        ("scaling/training/loop.py", "import ray", RAY),
        ("scaling/encoders/loading.py", "from deepspeed import zero", DEEPSPEED),
        ("scaling/cluster/driver.py", "import deepspeed", DEEPSPEED),
        ("analysis/gains.py", "from scaling.store.store import Store", ANALYSIS),
    ],
)
def test_a_planted_violation_is_refused(copy: Path, file: str, planted: str, broken: str) -> None:
    with (copy / file).open("a", encoding="utf-8") as spoiled:
        spoiled.write(f"\n{planted}\n")
    assert broken in lint(copy)[1]
