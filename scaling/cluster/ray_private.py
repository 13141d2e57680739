"""Everything that we ask of Ray by private names: the file to read when Ray is upgraded.

Imports nothing but Ray and the standard library, since `jobs/` runs parts of it on machines that
have no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

# What jobs/probe.py prints before its findings, and `scaling submit` looks for in the job's log.
PROBE_LINE = "SCALING-PROBE "
# Of one question to a head.
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class NodeGroup:
    """Nodes that are alike, as an autoscaler may start them."""

    name: str
    resources: Mapping[str, float]
    """Of one node."""
    most: int
    """Nodes at once; below 0 for no limit."""


def node_groups() -> list[NodeGroup]:
    """What the joined cluster's autoscaler may start; [] without one, or if it does not say."""
    from ray._private.state import state

    config = state.get_cluster_config()
    groups = config.node_group_configs if config is not None else ()
    return [NodeGroup(group.name, dict(group.resources), group.max_count) for group in groups]


def report_node_groups(groups: Iterable[NodeGroup], address: str) -> None:
    """Tell a Ray head (HOST:PORT) what its autoscaler may start, in whole resources."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    config = autoscaler_pb2.ClusterConfig()  # type: ignore[attr-defined]
    for group in groups:
        entry = config.node_group_configs.add()
        entry.name, entry.max_count = group.name, group.most
        for name, amount in group.resources.items():
            entry.resources[name] = int(amount)
    GcsClient(address=address).report_cluster_config(config.SerializeToString())


def living_nodes(address: str) -> Callable[[], dict[str, str]]:
    """Asks a Ray head (HOST:PORT) for its living nodes: hex id → IP address."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    client = GcsClient(address=address)

    def ask() -> dict[str, str]:
        # State 0 is ALIVE in Ray's GcsNodeInfo.
        return {
            key.hex(): str(node.node_manager_address)
            for key, node in client.get_all_node_info().items()
            if node.state == 0
        }

    return ask


def new_token() -> str:
    """A token as Ray makes them: 256 random bits in hex."""
    from ray._private.authentication.authentication_token_generator import (
        generate_new_authentication_token,
    )

    return str(generate_new_authentication_token())


def set_auth_mode(mode: Literal["token", "disabled"]) -> None:
    """Whether this process, and what it starts, shows and asks for tokens."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    os.environ["RAY_AUTH_MODE"] = mode
    # Ray reads both once, when it is imported.
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def head_of(address: str) -> str:
    """HOST:PORT, or ray://HOST:PORT, of what Ray is told to join: `auto` is the head of this node.

    ConnectionError if no head runs here.
    """
    from ray._private.services import canonicalize_bootstrap_address

    if address.startswith("ray://"):
        return address
    return str(canonicalize_bootstrap_address(address))


def answers_strangers(head: str) -> bool:
    """Whether a Ray head (HOST:PORT, or ray://HOST:PORT) answers who shows no token.

    ConnectionError where no head answers.
    """
    import grpc
    from ray.core.generated import (
        gcs_service_pb2,
        gcs_service_pb2_grpc,
        ray_client_pb2,
        ray_client_pb2_grpc,
    )

    # Certificates on both sides say who asks.
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return False
    direct = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(head.removeprefix("ray://"), options=direct) as channel:
        try:
            if head.startswith("ray://"):
                ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)  # type: ignore[attr-defined]
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(
                    ping, timeout=ANSWER_SECONDS
                )
            else:
                gcs_service_pb2_grpc.JobInfoGcsServiceStub(channel).GetAllJobInfo(
                    gcs_service_pb2.GetAllJobInfoRequest(),  # type: ignore[attr-defined]
                    timeout=ANSWER_SECONDS,
                )
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                return False
            raise ConnectionError(f"{error.code().name}: {error.details()}") from error
    return True


def uploaded_files(folder: Path, excludes: Sequence[str]) -> list[Path]:
    """The files that Ray would upload of a working directory: without `excludes` and .gitignore."""
    from ray._private.runtime_env import packaging

    files: list[Path] = []

    def note(path: Path) -> None:
        if path.is_file():
            files.append(path)

    patterns = [packaging._get_excludes(folder, list(excludes))]
    packaging._dir_travel(folder, patterns, note, include_gitignore=True)
    return files


def know_all_deaths() -> None:
    """Have Tune take every way of Ray's to say that an actor died for that.

    It knows one error for it, and ends the whole study over any other. Where a machine's memory
    runs out, or a node is lost, Ray kills a worker and says so by others. May be called again.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, WorkerCrashedError

    failed = RayActorManager._actor_task_failed
    if hasattr(failed, "__wrapped__"):
        return

    @wraps(failed)
    # Ray calls it by these names.
    def known(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError | NodeDiedError | WorkerCrashedError):
            exception = RayActorError(error_msg=str(exception))
        failed(manager, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = known  # type: ignore[method-assign, assignment]


def torch_trainer() -> type[TorchTrainer]:
    """Ray Train's trainer without its cleaner of placement groups.

    The cleaner asks the dashboard whether its controller lives: not that of its own cluster, but of
    whichever the machine remembers. Another one there does not know the controller, and the cleaner
    would take the group away from workers at work. `free_orphans` does what it is for.
    """
    from ray.train.torch import TorchTrainer
    from ray.train.v2._internal.callbacks.placement_group_callback import (
        PlacementGroupCleanerCallback,
    )

    class Trainer(TorchTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            callbacks = super()._create_default_callbacks()  # type: ignore[misc]
            return [one for one in callbacks if not isinstance(one, PlacementGroupCleanerCallback)]

    return Trainer


def free_orphans() -> int:
    """Remove the placement groups of this job whose creating actor died; how many.

    Ray keeps a placement group as long as its job lives, not its creator, and every later gang
    would wait for devices that a dead controller holds.
    """
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    removed = 0
    for raw in state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(raw)
        gone = group.state == PlacementGroupTableData.PlacementGroupState.REMOVED
        # What the driver made has no creating actor, which Ray counts as a dead one: Tune's own
        # groups.
        by_driver = group.creator_actor_id in (b"", ray.ActorID.nil().binary())
        if (
            group.creator_actor_dead
            and not by_driver
            and not gone
            and group.creator_job_id.hex() == job
        ):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
            removed += 1
    return removed
