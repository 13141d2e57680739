"""Devices held for a dead creator are freed while its job goes on. A real Ray, without a
dashboard.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")

# In a process of its own: Ray reads its authentication when it is imported.
CODE = """
import os, signal, time
from scaling.cluster.driver import join_cluster
num_cpus = join_cluster(None)["CPU"]
import ray
from scaling.cluster.ray_private import free_orphans

@ray.remote(num_cpus=0)
class Creator:
    def hold(self):
        self.group = ray.util.placement_group([{"CPU": num_cpus}])
        ray.get(self.group.ready())
        return os.getpid()

creator = Creator.remote()
pid = ray.get(creator.hold.remote())
ours = ray.util.placement_group([{"driver_slot": 1}])
ray.get(ours.ready())
print("living", free_orphans())
os.kill(pid, signal.SIGKILL)
deadline = time.monotonic() + 60
freed = 0
while not freed and time.monotonic() < deadline:
    freed = free_orphans()
    time.sleep(0.2)
while ray.available_resources().get("CPU") != num_cpus and time.monotonic() < deadline:
    time.sleep(0.2)
print("dead", freed, ray.available_resources().get("CPU") == num_cpus)
print("driver", ray.util.placement_group_table(ours)["state"])
"""


@pytest.mark.ray
def test_a_dead_creator_gives_its_devices_back() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=200, check=False
    )
    # Ray says on standard output that a worker died.
    said = [
        line for line in ran.stdout.splitlines() if line.startswith(("living", "dead", "driver"))
    ]
    assert said == ["living 0", "dead 1 True", "driver CREATED"], ran.stdout + ran.stderr[-2000:]


def test_private_names_of_ray_are_used_in_one_file() -> None:
    private = re.compile(r"ray\._[a-z]|ray\.core\.generated")
    root = Path(__file__).parents[2]
    using = {
        path.relative_to(root).as_posix()
        for folder in ("scaling", "jobs", "analysis")
        for path in (root / folder).rglob("*.py")
        if private.search(path.read_text())
    }
    assert using == {"scaling/cluster/ray_private.py"}
