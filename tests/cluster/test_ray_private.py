"""A real Ray of one's own, without a dashboard: devices of the dead are freed, strangers are kept
out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

pytest.importorskip("ray")

# In a process of its own: Ray reads its authentication when it is imported.
CODE = """
import os, signal, stat, time
from pathlib import Path
import psutil
from scaling.cluster.driver import join_cluster
from scaling.store.cache import own_folder
private = own_folder(40)
folder = private.__enter__()
num_cpus = join_cluster(None, folder)["CPU"]
import ray
from ray.train.torch import TorchTrainer
from scaling.cluster.ray_private import free_orphans, torch_trainer

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
sessions = [path for path in folder.rglob("session_latest")]
print("session", len(sessions), oct(stat.S_IMODE(folder.stat().st_mode)))
token = Path.home() / ".ray" / "auth_token"
print("token", *(oct(stat.S_IMODE(path.stat().st_mode)) for path in (token, token.parent)))
heard = {
    connection.laddr.ip.removeprefix("::ffff:")
    for process in psutil.Process().children(recursive=True)
    for connection in process.net_connections(kind="tcp")
    if connection.status == psutil.CONN_LISTEN
}
print("listens", sorted(heard))
print("mode", os.environ["RAY_AUTH_MODE"])
theirs, ours = (
    [type(callback).__name__ for callback in trainer(print)._create_default_callbacks()]
    for trainer in (TorchTrainer, torch_trainer())
)
print("without", [name for name in theirs if name not in ours])
ray.shutdown()
private.__exit__(None, None, None)
print("gone", not folder.exists())
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a local cluster says, started by a user whose environment switches tokens off."""
    env = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home")), "RAY_AUTH_MODE": "disabled"}
    ran = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=env,
    )
    # Ray says on standard output that a worker died.
    pairs = (line.partition(" ") for line in ran.stdout.splitlines())
    return {"errors": ran.stdout + ran.stderr[-3000:], **{word: rest for word, _, rest in pairs}}


@pytest.mark.ray
def test_a_dead_creator_gives_its_devices_back(said: dict[str, str]) -> None:
    found = [said.get(word) for word in ("living", "dead", "driver")]
    assert found == ["0", "1 True", "CREATED"], said["errors"]


@pytest.mark.ray
def test_nobody_else_reaches_a_local_cluster(said: dict[str, str]) -> None:
    # Ray makes folders of its session that everybody may write to: the one above is closed.
    assert said["session"] == "1 0o700", said["errors"]
    assert said["token"] == "0o600 0o700"
    assert said["listens"] == "['127.0.0.1']"
    assert said["mode"] == "token"
    assert "RAY_AUTH_MODE is 'disabled' here" in said["errors"]
    assert said["gone"] == "True"


@pytest.mark.ray
def test_no_other_cluster_of_the_machine_is_asked_whether_a_group_may_live(
    said: dict[str, str],
) -> None:
    """Ray's cleaner asks whichever it finds, and takes "unknown" for the death of a controller."""
    assert said["without"] == "['PlacementGroupCleanerCallback']", said["errors"]


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


def test_whatever_kills_a_session_is_the_end_of_it_alone() -> None:
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.air.execution._internal.tracked_actor import TrackedActor
    from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
    from ray.exceptions import (
        NodeDiedError,
        OutOfMemoryError,
        RayActorError,
        RayError,
        WorkerCrashedError,
    )

    from scaling.cluster.ray_private import know_all_deaths

    def told_of(error: RayError) -> list[Exception]:
        """What Tune hears of an actor whose task ended in an error, by Ray's own calls."""
        found: list[Exception] = []
        # Ray's own managers of resources, and actors, would start a cluster.
        manager, handle = RayActorManager(resource_manager=MagicMock()), MagicMock()
        actor = TrackedActor(0, on_error=lambda actor, error: found.append(error))
        manager._live_actors_to_ray_actors_resources[actor] = (handle, None)
        manager._schedule_tracked_actor_task(TrackedActorTask(actor), "train", args=(), kwargs={})
        _, on_error = manager._actor_task_events._tracked_futures[handle.train.remote()]
        on_error(error)
        return found

    for _ in range(2):
        know_all_deaths()
    for error in (OutOfMemoryError("no memory"), NodeDiedError("no node"), WorkerCrashedError()):
        (told,) = told_of(error)
        assert isinstance(told, RayActorError) and str(told) == str(error)
    with pytest.raises(RuntimeError, match="Caught unexpected exception"):
        told_of(RayError("anything else"))
    # Ray's own: once this knows them, ours can go.
    assert (
        "OutOfMemoryError" not in RayActorManager._actor_task_failed.__wrapped__.__code__.co_names
    )
