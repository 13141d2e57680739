"""`scaling stage --check` prints a table and a line for each thing that differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from scaling.catalogue.models import MODELS
from scaling.cli.app import console
from scaling.cli.stage import stage
from tests.helpers.hub_layouts import fill
from tests.helpers.hub_server import Hub
from tests.helpers.tiny import write_study


def test_check_exits_with_2_where_something_would_not_stage(tmp_path: Path, hub: Hub) -> None:
    fill(hub, only=("cambridgeltl/xcopa", "allenai/social_i_qa", "aps/super_glue"))
    content = {"name": "s", "models": ["xlm-r-base"], "arms": ["none"], "targets": ["xcopa"]}
    path, store = str(write_study(tmp_path, {**content, "seeds": [0]})), tmp_path / "store"
    model = {"model.safetensors": b"0", "tokenizer.json": b"{}"}
    commit = MODELS["xlm-r-base"].revision or ""
    hub.commit("FacebookAI/xlm-roberta-base", model, kind="models", commit=commit)
    with console.capture() as shown:
        stage(path, uri=str(store), accept=["size"], check=True)
    said = shown.get()
    assert "all 4 sources would stage" in said
    assert "test.et, test.ht and 9 more: 6 rows where 500 are published: accepted" in said
    assert not (tmp_path / "hub-cache").exists()
    assert not [item for item in store.rglob("*") if item.is_file()]
    with console.capture() as shown, pytest.raises(typer.Exit) as ended:
        stage(path, uri=str(store), check=True)
    assert ended.value.exit_code == 2
    said = shown.get()
    assert "3 of 4 sources would not stage" in said
    assert "✗ task copa, hub:aps/super_glue@refs/convert/parquet: train.en: 16 rows" in said
