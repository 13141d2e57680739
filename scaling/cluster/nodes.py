"""What a Ray cluster has, and what its autoscaler may add: the devices of each node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling.catalogue.hardware import Placement
from scaling.cluster.check import DRIVER_RESOURCE
from scaling.cluster.ray_private import node_groups
from scaling.planning.placement import gangs_too_large
from scaling.spec import UserError
from scaling.study.steps import Plan
from scaling.study.study import Study

# An autoscaler without a limit of its own; more nodes than a study can fill.
UNLIMITED = 256


@dataclass
class Capacity:
    """Devices by node, in an order that stays while nodes come and go.

    Sessions remember their node by its number.
    """

    kind: str
    """`GPU` or `CPU`."""
    most: int
    """Devices in use at once, as the study says; 0 for all."""
    _known: list[str] = field(default_factory=list)

    def nodes(self) -> list[int]:
        """Devices of each node: of the node types that may be added, or of what is there."""
        import ray

        alive = {
            node["NodeID"]: int(node["Resources"].get(self.kind, 0))
            for node in ray.nodes()
            if node["Alive"] and node["Resources"].get(self.kind, 0) >= 1
        }
        if self.kind == "CPU":
            # Workers of a gang may sit on several machines: nothing between them is faster than a
            # network.
            return [max(sum(alive.values()), sum(_addable("CPU")))]
        addable = _addable(self.kind)
        if addable:
            return addable
        self._known += [node for node in alive if node not in self._known]
        return [alive.get(node, 0) for node in self._known]


def _addable(kind: str) -> list[int]:
    """Devices of every node that the autoscaler may have at once, largest first; [] without one."""
    nodes: list[int] = []
    for group in node_groups():
        devices = int(group.resources.get(kind, 0))
        # A CPU beside GPUs serves its GPUs, and one beside the driver slots serves drivers.
        if devices > 0 and not (
            kind == "CPU" and ("GPU" in group.resources or DRIVER_RESOURCE in group.resources)
        ):
            nodes += [devices] * (UNLIMITED if group.most < 0 else group.most)
    return sorted(nodes, reverse=True)


def capacity_of(study: Study, resources: Mapping[str, float]) -> Capacity:
    """GPUs where the cluster has some or may get some, CPUs otherwise."""
    gpus = resources.get("GPU", 0) > 0 or bool(_addable("GPU"))
    return Capacity("GPU" if gpus else "CPU", study.max_devices)


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
