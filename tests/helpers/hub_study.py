"""A shipped study on the local hub: its tasks as they are, its models replaced by a tiny one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from scaling.study.study import STUDIES
from tests.helpers.hub_server import Hub
from tests.helpers.tiny import make_model, write_study


def hub_model(hub: Hub, folder: Path) -> dict[str, Any]:
    """A tiny encoder on the hub; its ModelSpec."""
    spec = make_model(folder / "tiny", "xlm-roberta", 1)
    files = {path.name: path.read_bytes() for path in (folder / "tiny").iterdir()}
    hub.commit("org/tiny", files, kind="models")
    return {"name": "tiny", **spec, "source": "hub:org/tiny"}


def shipped(hub: Hub, folder: Path, name: str, only: Sequence[str] = ()) -> Path:
    """The study file `name` with the tiny model.

    Args:
        hub: gets the model.
        folder: of the study file.
        name: of a shipped study.
        only: its targets, alone and without arms; () for the study whole.
    """
    content = yaml.safe_load((STUDIES / f"{name}.yaml").read_text(encoding="utf-8"))
    model = hub_model(hub, folder)
    content |= {"models": ["tiny"], "define": {"models": [model]}}
    content.pop("gpu")
    if only:
        content |= {"arms": ["none"], "targets": list(only), "seeds": [0]}
    return write_study(folder, content)
