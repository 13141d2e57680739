"""What a Ray cluster has, and what its autoscaler may add: the devices of each node."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaling.catalogue.hardware import Placement
from scaling.cluster.check import DRIVER_RESOURCE
from scaling.cluster.ray_private import NodeGroup, node_groups
from scaling.planning.devices import Device, read_smi
from scaling.planning.placement import gangs_too_large
from scaling.spec import UserError
from scaling.study.steps import Plan
from scaling.study.study import Study

# An autoscaler without a limit of its own; more nodes than a study can fill.
UNLIMITED = 256
# Begins the name of a resource that the nodes of one kind of GPU have, `gpu:h100-80`.
POOL = "gpu:"
# A node that does not answer for so long is not asked about its devices.
ANSWER_SECONDS = 120.0


@dataclass
class Capacity:
    """Devices by node, in an order that stays while nodes come and go.

    Sessions remember their node by its number.
    """

    kind: str
    """`GPU` or `CPU`."""
    most: int
    """Devices in use at once, as the study says; 0 for all."""
    pool: str = ""
    """A resource that the study's nodes alone have, as many as devices; '' where no node has it."""
    _known: list[str] = field(default_factory=list)

    def nodes(self) -> list[int]:
        """Devices of each node: of the node types that may be added, or of what is there."""

        alive = {node["NodeID"]: int(node["Resources"].get(self.kind, 0)) for node in self.alive()}
        if self.kind == "CPU":
            # Workers of a gang may sit on several machines: nothing between them is faster than a
            # network.
            return [max(sum(alive.values()), sum(_addable("CPU")))]
        addable = _addable(self.kind, self.pool)
        if addable:
            return addable
        self._known += [node for node in alive if node not in self._known]
        return [alive.get(node, 0) for node in self._known]

    def alive(self) -> list[dict[str, Any]]:
        """Living nodes of the pool, as Ray describes them."""
        import ray

        return [
            node
            for node in ray.nodes()
            if node["Alive"]
            and node["Resources"].get(self.kind, 0) >= 1
            and (not self.pool or node["Resources"].get(self.pool, 0) >= 1)
        ]

    def bundle(self) -> dict[str, float]:
        """What a worker holds of the cluster. UserError where a node has fewer CPUs than GPUs.

        Beside a GPU all CPUs that there are for it: loading, and optimizers on the host, use them.
        """
        if self.kind == "CPU":
            return {"CPU": 1.0}
        kinds = [
            *((node["NodeManagerHostname"], node["Resources"]) for node in self.alive()),
            *((group.name, group.resources) for group in _groups("GPU", self.pool)),
        ]
        least = 1
        for at, (name, resources) in enumerate(kinds):
            gpus, cpus = int(resources["GPU"]), int(resources.get("CPU", 0))
            if cpus < gpus:
                raise UserError(
                    f"{name} has {gpus} GPUs and {cpus} CPUs; every worker needs one of each."
                    " Give its node type more CPUs, or start it with --num-cpus"
                )
            least = cpus // gpus if at == 0 else min(least, cpus // gpus)
        return {"GPU": 1.0, "CPU": float(least), **({self.pool: 1.0} if self.pool else {})}


def _groups(kind: str, pool: str) -> list[NodeGroup]:
    """Node types that the autoscaler may start and that have such devices, of a pool if given."""
    return [
        group
        for group in node_groups()
        if group.resources.get(kind, 0) > 0
        and group.most != 0
        and (not pool or group.resources.get(pool, 0) > 0)
        # A CPU beside GPUs serves its GPUs, and one beside the driver slots serves drivers.
        and not (kind == "CPU" and ("GPU" in group.resources or DRIVER_RESOURCE in group.resources))
    ]


def _addable(kind: str, pool: str = "") -> list[int]:
    """Devices of every node that the autoscaler may have at once, largest first; [] without one."""
    nodes: list[int] = []
    for group in _groups(kind, pool):
        count = UNLIMITED if group.most < 0 else group.most
        nodes += [int(group.resources[kind])] * count
    return sorted(nodes, reverse=True)


def capacity_of(study: Study, resources: Mapping[str, float]) -> Capacity:
    """GPUs where the cluster has some or may get some, CPUs otherwise."""
    if resources.get("GPU", 0) <= 0 and not _addable("GPU"):
        return Capacity("CPU", study.max_devices)
    pool = f"{POOL}{study.gpu}" if study.gpu else ""
    has_pool = resources.get(pool, 0) > 0 or bool(_addable("GPU", pool))
    return Capacity("GPU", study.max_devices, pool if pool and has_pool else "")


def look_at_devices(capacity: Capacity) -> tuple[Device, ...]:
    """Every GPU of the living nodes, as its driver says; () for nodes that do not answer."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in capacity.alive()}
    ask = ray.remote(num_cpus=0, max_retries=0)(_smi)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(key, soft=False)).remote(
            name
        )
        for key, name in nodes.items()
    ]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_SECONDS) if asked else ([], 0)
    return tuple(device for found in ray.get(ready) for device in found)


def _smi(node: str) -> tuple[Device, ...]:
    """Runs on a node."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    found = subprocess.run([command, *query], capture_output=True, text=True, check=False)
    spec = find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    built = re.search(r"cuda[^=]*= '([^']+)'", version.read_text()) if version else None
    return read_smi(found.stdout, node, built[1] if built else "") if not found.returncode else ()


def check_gangs(
    plan: Plan, chosen: Mapping[str, Placement], nodes: list[int], capacity: Capacity
) -> None:
    """UserError if the cluster can never hold a gang of the plan.

    Args:
        plan: What is to run.
        chosen: Placements by step.
        nodes: Devices of each node.
        capacity: Whose nodes these are.
    """
    wrong = gangs_too_large(plan, chosen, sum(nodes), capacity.kind)
    if wrong:
        raise UserError("\n".join(wrong))
