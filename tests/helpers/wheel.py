"""This project as a wheel, and an environment of its own into which it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.helpers.house import ROOT

# What a build reads of a checkout.
SOURCES = ("scaling", "analysis", "jobs")
FILES = ("pyproject.toml", "README.md", "LICENSE", "cluster.yaml")


def build_wheel(folder: Path) -> Path:
    """The wheel of a copy of this checkout, built with the setuptools that is here."""
    copy = folder / "source"
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run(
        [sys.executable, *command, str(copy)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """A new environment's programs: the wheel, and by path the packages of the running one.

    An editable install of this project stays out of it: a line of a .pth file adds a folder, whose
    own .pth files are not read.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    programs = folder / "bin"
    command = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run(
        [*command, "--no-index", str(wheel)], check=True, timeout=120, env=outside(programs)
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def outside(programs: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """Variables for a program of that environment, with no checkout where Python looks."""
    kept = dict(os.environ if env is None else env)
    kept.pop("PYTHONPATH", None)
    return {**kept, "PATH": f"{programs}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}
