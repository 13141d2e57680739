"""cluster.yaml is what the installed Ray accepts, jobs/rayjob.yaml says the same to KubeRay;
neither has a secret.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.node_types import groups_in
from scaling.catalogue.hardware import GPUS
from scaling.cluster.check import DRIVER_RESOURCE, wanted_versions
from scaling.cluster.nodes import POOL
from scaling.cluster.ray_private import NodeGroup

ROOT = Path(__file__).parents[2]
LAUNCHER, MANIFEST = ROOT / "cluster.yaml", ROOT / "jobs" / "rayjob.yaml"


@pytest.fixture
def launcher() -> dict[str, Any]:
    return dict(yaml.safe_load(LAUNCHER.read_text()))


@pytest.fixture
def manifest() -> dict[str, Any]:
    return dict(yaml.safe_load(MANIFEST.read_text()))


def test_ray_accepts_the_cluster_file(launcher: dict[str, Any]) -> None:
    pytest.importorskip("ray")
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(launcher))
    launcher["available_node_types"]["head"]["resorces"] = {}
    with pytest.raises(Exception, match="resorces"):
        validate_config(prepare_config(launcher))


def test_drivers_stay_on_the_head_and_spot_falls_back_to_demand(launcher: dict[str, Any]) -> None:
    types = launcher["available_node_types"]
    assert [name for name, kind in types.items() if DRIVER_RESOURCE in kind["resources"]] == [
        "head"
    ]
    assert launcher["head_node_type"] == "head"
    spot = {name for name, kind in types.items() if "InstanceMarketOptions" in kind["node_config"]}
    assert spot == {"a10g_spot", "h100x8_spot"}
    for name in spot:
        other = types[name.replace("_spot", "_ondemand")]
        assert other["node_config"]["InstanceType"] == types[name]["node_config"]["InstanceType"]
        assert types[name]["priority"] > other["priority"]
        assert (types[name]["labels"]["pool"], other["labels"]["pool"]) == ("spot", "ondemand")


def test_every_gpu_node_has_a_role_a_disk_and_a_pool_of_its_kind(launcher: dict[str, Any]) -> None:
    types = launcher["available_node_types"]
    workers = {name: kind for name, kind in types.items() if "GPU" in kind["resources"]}
    assert len(workers) == 4
    for kind in workers.values():
        node = kind["node_config"]
        assert node["IamInstanceProfile"]["Name"]
        assert node["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] >= 200
        gpu = kind["labels"]["gpu"]
        assert gpu in GPUS
        assert kind["resources"][f"{POOL}{gpu}"] == kind["resources"]["GPU"]
    started = launcher["worker_start_ray_commands"]
    (ray_start,) = (line for line in started if "ray start" in line)
    assert "SCALING_CACHE=/opt/dlami/nvme/" in ray_start and "TMPDIR=/opt/dlami/nvme/" in ray_start
    # A disk that is not there is said before anything is written to the root disk.
    assert started.index(ray_start) > next(
        at for at, line in enumerate(started) if line.startswith("test -d /opt/dlami/nvme ")
    )


def test_nodes_get_the_versions_that_are_pinned(launcher: dict[str, Any]) -> None:
    installed = dict(
        re.findall(r"([a-z]+)(?:\[[a-z,]+\])?==([\d.]+)", "\n".join(launcher["setup_commands"]))
    )
    assert installed == wanted_versions(ROOT / "pyproject.toml")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for line in needed:
        name = re.split(r"[=><\[]", line)[0]
        # pyyaml comes with ray, numpy with scipy.
        assert name in launcher["setup_commands"][0] or name in ("pyyaml", "numpy")


def test_every_node_signs_in_and_workers_watch_for_notices(launcher: dict[str, Any]) -> None:
    head, worker = launcher["head_start_ray_commands"], launcher["worker_start_ray_commands"]
    for line in (*head, *worker):
        assert "RAY_AUTH_MODE=token" in line or not re.search(r"ray start|python", line)
    assert any("dashboard-host=127.0.0.1" in line for line in head)
    assert any("sentinel.py aws" in line for line in worker)
    for local in launcher["file_mounts"].values():
        assert local.startswith("~") or (ROOT / local).is_file()


def test_what_is_copied_to_a_node_runs_there_alone(
    launcher: dict[str, Any], tmp_path: Path
) -> None:
    for there, here in launcher["file_mounts"].items():
        if not here.startswith("~"):
            target = tmp_path / there.removeprefix("~/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / here, target)
    lines = [*launcher["head_start_ray_commands"], *launcher["worker_start_ray_commands"]]
    scripts = {found[1] for line in lines if (found := re.search(r"python ~/(\S+)", line))}
    assert len(scripts) == 2
    for script in scripts:
        # Without site: no package that is installed by a link to a checkout.
        subprocess.run(
            [sys.executable, "-S", script, "--help"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(yaml.__file__).parents[1])},
            check=True,
            timeout=60,
            capture_output=True,
        )


def test_no_secrets() -> None:
    for path in (LAUNCHER, MANIFEST):
        text = path.read_text().lower()
        assert not re.search(
            r"(secret_?(access)?_?key|password|token|akia\w{8})['\"]?\s*[:=]\s*['\"]?\w{8}", text
        )


def test_the_manifest_authenticates_drains_and_gives_time(manifest: dict[str, Any]) -> None:
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    cluster = manifest["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == wanted_versions(ROOT / "pyproject.toml")["ray"]
    assert DRIVER_RESOURCE in cluster["headGroupSpec"]["rayStartParams"]["resources"]
    assert "jobs/run_study.py" in manifest["spec"]["entrypoint"]
    for group in cluster["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert container["resources"]["limits"] == container["resources"]["requests"]
        env = {item["name"]: item["value"] for item in container["env"]}
        drain = container["lifecycle"]["preStop"]["exec"]["command"][-1]
        seconds = re.search(r"sentinel.py now --seconds (\d+)", drain)
        assert seconds is not None
        assert int(env["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]) < int(seconds[1])
        assert int(seconds[1]) < pod["terminationGracePeriodSeconds"]


def test_pods_have_no_rights_and_an_image_that_stays(manifest: dict[str, Any]) -> None:
    cluster = manifest["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        (container,) = pod["containers"]
        assert "@sha256:" in container["image"]
        rights = container["securityContext"]
        assert rights == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_node_types_of_both_files(launcher: dict[str, Any], manifest: dict[str, Any]) -> None:
    groups = {group.name: group for group in groups_in(launcher)}
    assert groups["head"].most == 1
    own = {"CPU": 192, "GPU": 8, "gpu:h100-80": 8}
    assert groups["h100x8_spot"] == NodeGroup("h100x8_spot", own, 4)
    # What there is to fall back on is not there to be filled too.
    workers = [group for name, group in groups.items() if name != "head"]
    assert sum(group.most for group in workers) == launcher["max_workers"]
    assert groups["h100x8_ondemand"].most == 0
    assert groups_in(manifest) == [
        NodeGroup("h100x8-spot", {"CPU": 96, "GPU": 8}, 4),
        NodeGroup("h100x8-ondemand", {"CPU": 96, "GPU": 8}, 1),
    ]
    with pytest.raises(KeyError):
        groups_in({"cluster_name": "x"})
