"""Ray's autoscaler with its fake multi-node provider: from no worker to what the ready queue needs,
and back.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

from scaling.store.store import Store
from scaling.study.plan import make_plan
from scaling.study.study import load_study
from tests.helpers.ray_head import RayHead
from tests.helpers.tiny import write_study

pytestmark = [pytest.mark.ray, pytest.mark.torch, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 400
# Each fake node is a raylet of its own with one CPU; three may be added.
CONFIG = {
    "cluster_name": "fake",
    "max_workers": 3,
    "idle_timeout_minutes": 0.2,
    "upscaling_speed": 10.0,
    "provider": {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "available_node_types": {
        "ray.head.default": {
            "resources": {"CPU": 0, "driver_slot": 8},
            "node_config": {},
            "max_workers": 0,
        },
        "small": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 3},
    },
    "head_node_type": "ray.head.default",
    # A fake node needs none of these, but the autoscaler wants to read them.
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}
ENV = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_enable_autoscaler_v2": "0",
}


def test_nodes_come_for_the_ready_queue_and_go(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    # One gang of two at a time: two nodes are needed, and the third that may be had is not.
    content = {**tiny_study, "languages": ["de"], "targets": ["applications"], "max_devices": 2}
    content["placement"] = {"default": {"workers": 2, "zero_stage": 1, "micro_batch": 4}}
    study_file = write_study(tmp_path, content)
    store = Store.open(tmp_path / "store")
    with RayHead(num_cpus=0, autoscaling=CONFIG, env=ENV) as head:
        told = subprocess.run(
            [
                sys.executable,
                str(ROOT / "jobs" / "node_types.py"),
                str(head.folder / "autoscaling.json"),
                "--address",
                head.address,
            ],
            env=head.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "up to 3 × small" in told.stdout
        assert head.nodes() == 1
        log = tmp_path / "driver.log"
        with log.open("w") as out:
            driver = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "scaling.cli",
                    "run",
                    str(study_file),
                    "--store",
                    store.uri,
                    "--address",
                    head.address,
                ],
                env={**head.env, "PYTHONPATH": str(ROOT)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        seen = [1]
        deadline = time.monotonic() + LIMIT_SECONDS
        while driver.poll() is None and time.monotonic() < deadline:
            head.look()
            seen.append(head.nodes())
            time.sleep(1)
        if driver.poll() is None:
            driver.kill()
        assert driver.wait(10) == 0, log.read_text()[-3000:]
        assert max(seen) == 3
        plan = make_plan(load_study(study_file), store.read_lock())
        assert store.scan().done >= plan.steps.keys()
        deadline = time.monotonic() + 120
        while head.nodes() > 1:
            assert time.monotonic() < deadline, "idle nodes stay"
            time.sleep(1)
