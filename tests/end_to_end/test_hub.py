"""Both flagship studies are staged from a hub on this machine, by the hub's own client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.data.manifest import staged_tasks
from scaling.data.schema import BadData
from scaling.store.store import Store
from scaling.study.identity import Lock
from scaling.study.study import load_study
from tests.helpers.hub_layouts import fill, layouts, local_files
from tests.helpers.hub_server import Hub
from tests.helpers.hub_study import shipped

pytest.importorskip("torch")

from scaling.training.stage import stage


def command(hub: Hub, folder: Path, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
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


def test_a_hub_that_goes_away_in_the_middle_is_gone_on_with(tmp_path: Path, hub: Hub) -> None:
    """Tasks and model of one study; the slow test below has all of both flagships."""
    fill(hub, only=("cambridgeltl/xcopa", "allenai/social_i_qa", "aps/super_glue"))
    path = shipped(hub, tmp_path, "xtreme_r", only=("xcopa",))
    study, store = load_study(path), Store.open(tmp_path / "store")

    def staged() -> Lock:
        return stage(study, store, None, lambda what: None, ("size",))

    (late,) = (layout.files[-1].path for layout in layouts() if layout.hub == "cambridgeltl/xcopa")
    hub.fail(f"resolve/.*/{late}", times=99, status=404)
    with pytest.raises(BadData, match=r"task xcopa: hub dataset 'cambridgeltl/xcopa' .*404.* goes"):
        staged()
    assert store.read_lock() == Lock()
    hub.faults.clear()
    before = hub.sent("GET /blobs/")
    lock = staged()
    # Of everything that had come nothing is asked for again.
    once = sum(
        file.stat().st_size
        for (kind, _), held in hub.repositories.items()
        for files in held.commits.values()
        for name, file in files.items()
        if file.stat().st_size > 1_024 and (kind == "models" or name.endswith(".parquet"))
    )
    assert 0 < before < hub.sent("GET /blobs/") == once
    assert lock.models["tiny"]["revision"] == hub.repositories["models", "org/tiny"].refs["main"]
    assert lock.revisions["hub:aps/super_glue@refs/convert/parquet"]
    asked = len(hub.requests)
    assert staged() == lock
    # Nothing changed: only the model's tokenizer is looked for, in the cache.
    assert not any(request.startswith("GET /blobs") for request, _, _ in hub.requests[asked:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xtreme_r", "phang2020"])
def test_a_flagship_study_stages_from_the_hub(tmp_path: Path, hub: Hub, name: str) -> None:
    fill(hub)
    local_files(tmp_path / "local")
    path = shipped(hub, tmp_path, name)
    # Few rows: every published size is another, and nothing else may be.
    done = command(hub, tmp_path, path, "--accept", "size")
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
