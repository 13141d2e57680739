"""What a user has after `pip install` of the wheel: no checkout, and every command works."""

from __future__ import annotations

import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scaling.store.store import Store
from tests.helpers.house import ROOT
from tests.helpers.ray_head import RayHead
from tests.helpers.tiny import write_study
from tests.helpers.wheel import build_wheel, install, outside

pytestmark = pytest.mark.slow
LIMIT_SECONDS = 300


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed") / "venv")


def run(programs: Path, folder: Path, *words: str, **env: str) -> str:
    """Standard output of `scaling WORDS` of the wheel."""
    done = subprocess.run(
        [str(programs / "scaling"), *words],
        cwd=folder,
        env={**outside(programs), **env},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_packages_and_the_jobs(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in ("scaling", "analysis"):
        ours = {
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        assert ours - held == set()
        assert f"{package}/py.typed" in held
    shared = {name.partition(".data/data/")[2] for name in held}
    jobs = {f"share/stilts-scaling/jobs/{path.name}" for path in (ROOT / "jobs").glob("*.*")}
    assert jobs | {"share/stilts-scaling/cluster.yaml"} <= shared
    assert not any(name.startswith(("jobs/", "tests/", "benchmarks/")) for name in held)


def test_a_plan_from_the_wheel_alone(programs: Path, tmp_path: Path) -> None:
    assert "152" in run(programs, tmp_path, "plan", "demo")
    where = subprocess.run(
        [str(programs / "python"), "-c", "import scaling; print(scaling.__file__)"],
        cwd=tmp_path,
        env=outside(programs),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(where).is_relative_to(programs.parent)


@pytest.mark.ray
@pytest.mark.torch
def test_a_cluster_runs_a_study_that_the_wheel_submitted(
    programs: Path, tmp_path: Path, tiny_study: dict[str, Any]
) -> None:
    pytest.importorskip("ray")
    folder, store = tmp_path / "anywhere", Store.open(tmp_path / "store")
    folder.mkdir()
    small = {"languages": ["de"], "models": tiny_study["models"][:1], "targets": ["applications"]}
    write_study(folder, {**tiny_study, **small, "arms": ["none"]})
    with RayHead(num_cpus=2) as head:
        words = ["submit", "study.yaml", "--address", head.dashboard, "--store", store.uri]
        env = {key: value for key, value in head.env.items() if key.startswith("RAY_")}
        assert "submitted tiny-1" in run(programs, folder, *words, **env)
        deadline = time.monotonic() + LIMIT_SECONDS
        while head.job_status("tiny-1") in ("PENDING", "RUNNING") and time.monotonic() < deadline:
            time.sleep(1)
        assert head.job_status("tiny-1") == "SUCCEEDED"
    assert store.exists("rows.parquet")
    shutil.rmtree(folder)
