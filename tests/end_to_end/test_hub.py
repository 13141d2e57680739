"""Both flagship studies are staged from a hub on this machine, by the hub's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.data.manifest import staged_tasks
from scaling.store.store import Store
from scaling.study.study import load_study
from tests.helpers.hub_layouts import fill, local_files
from tests.helpers.hub_server import Hub
from tests.helpers.hub_study import shipped

pytest.importorskip("torch")


def stage(hub: Hub, folder: Path, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`scaling stage` in a process of its own, which knows the hub by HF_ENDPOINT alone."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    command = [sys.executable, "-m", "scaling.cli", "stage", str(path)]
    where = ["--store", str(folder / "store"), "--from", str(folder / "local")]
    return subprocess.run(
        [*command, *where, *options], env=env, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xtreme_r", "phang2020"])
def test_a_flagship_study_stages_from_the_hub(tmp_path: Path, hub: Hub, name: str) -> None:
    fill(hub)
    local_files(tmp_path / "local")
    path = shipped(hub, tmp_path, name)
    # Few rows: every published size is another, and nothing else may be.
    done = stage(hub, tmp_path, path, "--accept", "size")
    assert done.returncode == 0, done.stdout + done.stderr
    study, store = load_study(path), Store.open(tmp_path / "store")
    tasks = {task.task: task for task in staged_tasks(study, store)}
    assert set(tasks) == set(study.used_tasks)
    found = {
        (name, defect): count
        for name, task in tasks.items()
        for defect, count in task.defects.items()
        if defect != "size"
    }
    xquad = "xquad" if name == "xtreme_r" else "xquad_xtreme"
    assert found == {
        ("qqp", "empty_text"): 2,
        (xquad, "answer_elsewhere"): 26 + 5 + 5 + 13 + 5 + 10 + 5 + 100,
        ("anli_plus", "unlabelled"): 2,
        # One in each of nine test sets, in train, and in English dev, which is English test.
        ("tydiqa", "answer_elsewhere"): 11,
    }
    lock = store.read_lock()
    for (_, repository), held in hub.repositories.items():
        for ref, commit in held.refs.items():
            origin = f"hub:{repository}" + ("" if ref == "main" else f"@{ref}")
            assert lock.revisions.get(origin, commit) == commit
    manifest = json.loads(store.read("data/xnli/manifest.json"))
    assert len(manifest["files"]) == 15
    assert all(len(digest) == 64 for digest in manifest["files"].values())
