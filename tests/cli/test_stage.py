"""`scaling stage --check` prints a table and a line for each thing that differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command import scaling
from tests.helpers.hub_layouts import fill
from tests.helpers.hub_server import Hub
from tests.helpers.hub_study import shipped

pytest.importorskip("torch")


def test_check_exits_with_2_where_something_would_not_stage(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(hub, only=("cambridgeltl/xcopa", "allenai/social_i_qa", "aps/super_glue"))
    path = shipped(hub, tmp_path, "xtreme_r", only=("xcopa",))
    for name, value in (("HF_ENDPOINT", hub.url), ("HF_HUB_OFFLINE", "0"), ("HF_HOME", "home")):
        monkeypatch.setenv(name, value)
    done = scaling("stage", str(path), "--check", "--accept", "size", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 4 sources would stage" in done.stdout
    assert "· task xcopa, hub:cambridgeltl/xcopa@refs/convert/parquet: test.en" not in done.stdout
    assert "test.et, test.ht and 9 more: 6 rows where 500 are published: accepted" in done.stdout
    assert not (tmp_path / "home").exists() and not (tmp_path / "runs" / "xtreme-r").exists()
    done = scaling("stage", str(path), "--check", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "3 of 4 sources would not stage" in done.stdout
    assert "✗ task copa, hub:aps/super_glue@refs/convert/parquet: train.en: 16 rows" in done.stdout
