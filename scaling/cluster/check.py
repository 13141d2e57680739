"""What a cluster is and whether it can run a study, by the findings of `jobs/probe.py`.

Needs no ray.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scaling.catalogue.hardware import get_gpu
from scaling.planning.placement import check_fit, gangs_too_large, placements
from scaling.spec import UserError
from scaling.study.plan import make_plan
from scaling.study.study import Study

# What a trial holds of the cluster: its worker group brings its own resources. A share of the
# custom resource keeps trial drivers on the nodes that have it (the head), where no spot notice
# reaches them.
DRIVER_RESOURCE = "driver_slot"
OLDEST_PYTHON = (3, 11)


class ClusterError(UserError):
    """The cluster cannot run the study as asked; says what is missing and what to do."""


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """Nodes that are alike: those alive, or those that the autoscaler may start."""

    name: str
    resources: Mapping[str, float]
    count: int

    def holds(self, bundle: Mapping[str, float]) -> int:
        """How many such bundles at once."""
        return self.count * min(
            int(self.resources.get(name, 0) // amount) for name, amount in bundle.items()
        )


@dataclass(frozen=True, kw_only=True)
class Node:
    """One living node, as the probe found it."""

    name: str
    resources: Mapping[str, float]
    python: str
    versions: Mapping[str, str]
    """Distribution → version; those that are installed."""
    store: str
    """'' if the node could read the laptop's mark and leave its own; else what went wrong."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What `jobs/probe.py` found."""

    nodes: tuple[Node, ...]
    types: tuple[NodeType, ...]
    """What the autoscaler may start; () without one, or if it does not say (jobs/node_types.py)."""

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> Findings:
        """The findings in the probe's line."""
        return Findings(
            nodes=tuple(Node(**node) for node in raw["nodes"]),
            types=tuple(NodeType(**node_type) for node_type in raw["types"]),
        )

    @property
    def room(self) -> tuple[NodeType, ...]:
        """What there can be at once: the autoscaler's word where it has one, else what is alive."""
        alive = tuple(
            NodeType(name=node.name, resources=node.resources, count=1) for node in self.nodes
        )
        return self.types or alive

    @property
    def unseen(self) -> tuple[NodeType, ...]:
        """Types of which no node is alive: nobody could look at their versions and store."""

        def like(node: Node, node_type: NodeType) -> bool:
            return all(
                node.resources.get(name, 0) >= amount
                for name, amount in node_type.resources.items()
            )

        return tuple(
            node_type
            for node_type in self.types
            if not any(like(node, node_type) for node in self.nodes)
        )


def wanted_versions(pyproject: Path) -> dict[str, str]:
    """Distribution → version of everything that our project pins with `==` for running."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return pinned_versions([*project["dependencies"], *project["optional-dependencies"]["run"]])


def pinned_versions(requirements: Iterable[str]) -> dict[str, str]:
    """Distribution → version of the requirements for running that are pinned with `==`."""
    return {
        wanted.name: pin.version
        for wanted in map(Requirement, requirements)
        if wanted.marker is None or wanted.marker.evaluate({"extra": "run"})
        for pin in wanted.specifier
        if pin.operator == "=="
    }


def complaints(
    findings: Findings, study: Study, wanted: Mapping[str, str], store: str
) -> list[str]:
    """Everything that speaks against running the study there; [] if nothing does.

    Args:
        findings: What the probe found.
        study: What is to run.
        wanted: Distribution → version.
        store: URI of the study's store.
    """
    return [
        *_version_complaints(findings.nodes, wanted),
        *_store_complaints(findings.nodes, store),
        *_driver_complaints(findings),
        *_gang_complaints(findings.room, study),
    ]


def _version_complaints(nodes: Sequence[Node], wanted: Mapping[str, str]) -> list[str]:
    lines = []
    for name, version in wanted.items():
        # A build for CUDA or CPU carries a local label, `2.13.0+cu130`: the same code.
        other = {node.versions.get(name, "none").partition("+")[0] for node in nodes} - {version}
        if other:
            where = [
                node.name
                for node in nodes
                if node.versions.get(name, "none").partition("+")[0] != version
            ]
            lines.append(
                f"{name} is {', '.join(sorted(other))} on {_some(where)}; this study runs with"
                f" {version}"
            )
    pythons = {node.python for node in nodes}
    if len(pythons) > 1:
        lines.append(f"the nodes have different Pythons: {', '.join(sorted(pythons))}")
    for node in nodes:
        if tuple(int(part) for part in node.python.split(".")[:2]) < OLDEST_PYTHON:
            lines.append(
                f"{node.name} has Python {node.python}; this study needs"
                f" {'.'.join(map(str, OLDEST_PYTHON))}"
            )
            break
    return lines


def _store_complaints(nodes: Sequence[Node], store: str) -> list[str]:
    failing = [node for node in nodes if node.store]
    if not failing:
        return []
    why = (
        f"the store {store} cannot be used from {_some([node.name for node in failing])}:"
        f" {failing[0].store}"
    )
    if "://" not in store:
        why += (
            ". A folder must be one that every node and this machine share (NFS); or give s3:// or"
            " gs://"
        )
    return [why]


def _driver_complaints(findings: Findings) -> list[str]:
    if any(node.resources.get(DRIVER_RESOURCE, 0) >= 1 for node in findings.nodes):
        return []
    return [
        f"no node has the resource {DRIVER_RESOURCE}, so that trial drivers could land on spot"
        f" nodes; start the head with --resources='{{\"{DRIVER_RESOURCE}\": 64}}' (cluster.yaml"
        " does)"
    ]


def _gang_complaints(room: Sequence[NodeType], study: Study) -> list[str]:
    has_gpus = any(node_type.resources.get("GPU", 0) >= 1 for node_type in room)
    have = (
        ", ".join(
            f"{node_type.count} × {node_type.name} {_devices(node_type)}" for node_type in room
        )
        or "nothing"
    )
    if study.gpu and not has_gpus:
        return [f"the study is planned for {study.gpu} and no node type has a GPU; there is {have}"]
    plan, gpu = make_plan(study), get_gpu(study.gpu) if study.gpu else None
    try:
        chosen = placements(plan, gpu)
        check_fit(plan, chosen, gpu)
    except UserError as error:
        return [str(error)]
    bundle = {"GPU": 1.0, "CPU": 1.0} if has_gpus else {"CPU": 1.0}
    devices = sum(node_type.holds(bundle) for node_type in room)
    return gangs_too_large(plan, chosen, devices, "GPU" if has_gpus else "CPU", have)


def _devices(node_type: NodeType) -> str:
    shown = {
        name: node_type.resources[name] for name in ("CPU", "GPU") if node_type.resources.get(name)
    }
    return "(" + ", ".join(f"{amount:g} {name}" for name, amount in shown.items()) + ")"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
