"""cluster.yaml is what the installed Ray accepts, and holds no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("ray")

PATH = Path(__file__).parents[1] / "cluster.yaml"


def test_ray_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(yaml.safe_load(PATH.read_text())))


def test_drivers_stay_on_the_head_and_workers_fall_back_to_demand() -> None:
    types = yaml.safe_load(PATH.read_text())["available_node_types"]
    assert [name for name, node in types.items() if "driver_slot" in node["resources"]] == ["head"]
    assert types["h100x8_spot"]["priority"] > types["h100x8_ondemand"]["priority"]


def test_no_secrets() -> None:
    text = PATH.read_text().lower()
    assert not any(word in text for word in ("aws_secret", "password:", "auth_token:", "hf_token"))
    assert "ray_auth_mode=token" in text
