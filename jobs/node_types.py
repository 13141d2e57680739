"""Tells Ray which nodes its autoscaler may add, for a study that needs nodes not there yet.

    python jobs/node_types.py FILE --address HEAD:6379

FILE is a cluster launcher's YAML or JSON (`available_node_types`) or a KubeRay manifest
(`workerGroupSpecs`). Ray 2.60 has a place for this in its head, which ray.train reads too, and
nobody who fills it. Needs ray, yaml and scaling/cluster/ray_private.py beside jobs/, nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scaling.cluster.ray_private import NodeGroup, report_node_groups


def groups_in(raw: Mapping[str, Any]) -> list[NodeGroup]:
    """The node types of a cluster file. KeyError if it has none."""
    if "available_node_types" in raw:
        return list(_launcher_groups(raw))
    spec = raw["spec"]
    spec = spec.get("rayClusterSpec", spec)
    return [_kuberay_group(group) for group in spec["workerGroupSpecs"]]


def _launcher_groups(raw: Mapping[str, Any]) -> Iterator[NodeGroup]:
    """The head, and workers up to the cluster's own `max_workers`, those of high priority first: a
    pool to fall back on is not there to be filled too.
    """
    head, left = raw.get("head_node_type"), int(raw.get("max_workers", 0))
    kinds = raw["available_node_types"]
    for name in sorted(kinds, key=lambda name: -kinds[name].get("priority", 0)):
        kind = kinds[name]
        most = 1 if name == head else min(left, int(kind.get("max_workers", left)))
        left -= 0 if name == head else most
        yield NodeGroup(
            name, {key: int(value) for key, value in kind.get("resources", {}).items()}, most
        )


def _kuberay_group(group: Mapping[str, Any]) -> NodeGroup:
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    resources = {"CPU": int(limits["cpu"])}
    if "nvidia.com/gpu" in limits:
        resources["GPU"] = int(limits["nvidia.com/gpu"])
    return NodeGroup(group["groupName"], resources, int(group["maxReplicas"]))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--address", required=True, help="HOST:PORT of the Ray head.")
    given = parser.parse_args()
    groups = groups_in(yaml.safe_load(given.file.read_text()))
    report_node_groups(groups, given.address)
    print(
        "; ".join(f"up to {group.most} × {group.name} {dict(group.resources)}" for group in groups)
    )


if __name__ == "__main__":
    main()
