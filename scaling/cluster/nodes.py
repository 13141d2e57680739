"""What a Ray cluster has, and what its autoscaler may add: the devices of each node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaling.catalogue.hardware import Placement
from scaling.cluster.check import DRIVER_RESOURCE
from scaling.planning.placement import fewer, largest_gangs
from scaling.spec import UserError
from scaling.study.steps import Plan
from scaling.study.study import Study

# An autoscaler without a limit of its own; more nodes than a study can fill.
UNLIMITED = 256


@dataclass
class Capacity:
    """Devices by node, in an order that stays while nodes come and go: sessions remember their node
    by number.
    """

    kind: str
    """`GPU` or `CPU`."""
    most: int
    """Devices in use at once, as the study says; 0 for all."""
    _known: list[str] = field(default_factory=list)

    def nodes(self) -> list[int]:
        """Devices of each node: of the node types that may be added, or of what is there."""
        import ray
        from ray._private.state import state

        alive = {
            node["NodeID"]: int(node["Resources"].get(self.kind, 0))
            for node in ray.nodes()
            if node["Alive"] and node["Resources"].get(self.kind, 0) >= 1
        }
        if self.kind == "CPU":
            # Workers of a gang may sit on several machines: nothing between them is faster than a
            # network.
            return [max(sum(alive.values()), sum(_addable(state.get_cluster_config(), "CPU")))]
        addable = _addable(state.get_cluster_config(), self.kind)
        if addable:
            return addable
        self._known += [node for node in alive if node not in self._known]
        return [alive.get(node, 0) for node in self._known]


def _addable(config: Any, kind: str) -> list[int]:
    """Devices of every node that the autoscaler may have at once, largest first; [] without an
    autoscaler.
    """
    nodes: list[int] = []
    for group in config.node_group_configs if config is not None else ():
        devices = int(group.resources.get(kind, 0))
        # A CPU beside GPUs serves its GPUs, and one beside the driver slots serves drivers.
        if devices > 0 and not (
            kind == "CPU" and ("GPU" in group.resources or DRIVER_RESOURCE in group.resources)
        ):
            nodes += [devices] * (UNLIMITED if group.max_count < 0 else group.max_count)
    return sorted(nodes, reverse=True)


def capacity_of(study: Study, resources: Mapping[str, float]) -> Capacity:
    """GPUs where the cluster has some or may get some, CPUs otherwise."""
    from ray._private.state import state

    gpus = resources.get("GPU", 0) > 0 or bool(_addable(state.get_cluster_config(), "GPU"))
    return Capacity("GPU" if gpus else "CPU", study.max_devices)


def check_gangs(
    plan: Plan, chosen: Mapping[str, Placement], nodes: list[int], capacity: Capacity
) -> None:
    """ValueError if the cluster can never hold a gang of the plan."""
    total = min(sum(nodes), capacity.most) if capacity.most else sum(nodes)
    for model, gang in largest_gangs(plan, chosen).items():
        if gang > total:
            raise UserError(
                f"{model} needs {gang} {capacity.kind}s at once; the cluster has {total}"
                + (
                    f" (max_devices is {capacity.most})"
                    if capacity.most and capacity.most < sum(nodes)
                    else ""
                )
                + f"; {fewer(total)}"
            )
