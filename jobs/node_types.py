"""Tells Ray which nodes its autoscaler may add, so that plans can count with them.

    python jobs/node_types.py FILE --address HEAD:6379

FILE is a cluster launcher's YAML or JSON (`available_node_types`) or a KubeRay manifest
(`workerGroupSpecs`). Ray 2.60 has a place for this in its head (GcsClient.report_cluster_config,
read by ray.train too) and nobody who fills it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Group:
    """One type of node: what a node of it has, and how many there may be."""

    name: str
    resources: Mapping[str, int]
    most: int


def node_groups(raw: Mapping[str, Any]) -> list[Group]:
    """The node types of a cluster file. KeyError if it has none."""
    if "available_node_types" in raw:
        return list(_launcher_groups(raw))
    spec = raw["spec"]
    spec = spec.get("rayClusterSpec", spec)
    return [_kuberay_group(group) for group in spec["workerGroupSpecs"]]


def _launcher_groups(raw: Mapping[str, Any]) -> Iterator[Group]:
    """The head, and workers up to the cluster's own `max_workers`, those of high priority first: a
    pool to fall back on is not there to be filled too.
    """
    head, left = raw.get("head_node_type"), int(raw.get("max_workers", 0))
    kinds = raw["available_node_types"]
    for name in sorted(kinds, key=lambda name: -kinds[name].get("priority", 0)):
        kind = kinds[name]
        most = 1 if name == head else min(left, int(kind.get("max_workers", left)))
        left -= 0 if name == head else most
        yield Group(
            name, {key: int(value) for key, value in kind.get("resources", {}).items()}, most
        )


def _kuberay_group(group: Mapping[str, Any]) -> Group:
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    resources = {"CPU": int(limits["cpu"])}
    if "nvidia.com/gpu" in limits:
        resources["GPU"] = int(limits["nvidia.com/gpu"])
    return Group(group["groupName"], resources, int(group["maxReplicas"]))


def report(groups: list[Group], address: str) -> None:
    """Notes the node types in the head of the Ray cluster at HOST:PORT."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    config = autoscaler_pb2.ClusterConfig()  # type: ignore[attr-defined]
    for group in groups:
        entry = config.node_group_configs.add()
        entry.name, entry.max_count = group.name, group.most
        for name, amount in group.resources.items():
            entry.resources[name] = amount
    GcsClient(address=address).report_cluster_config(config.SerializeToString())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--address", required=True, help="HOST:PORT of the Ray head.")
    given = parser.parse_args()
    groups = node_groups(yaml.safe_load(given.file.read_text()))
    report(groups, given.address)
    print(
        "; ".join(f"up to {group.most} × {group.name} {dict(group.resources)}" for group in groups)
    )


if __name__ == "__main__":
    main()
