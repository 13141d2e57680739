"""What this cluster is, as one line of JSON; `scaling submit` runs it as a short job.

    python jobs/probe.py STORE MARK

Every living node says its Python, its versions, and whether it can read the mark that the submitter
left in the store and leave one of its own. scaling.cluster.check reads the line. Needs ray;
everything else may be missing, which is one of the findings.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from scaling.cluster.ray_private import PROBE_LINE, node_groups

ANSWER_SECONDS = 120


def look(store: str, mark: str, node: str) -> dict[str, Any]:
    """Runs on a node."""
    versions = {item.name: item.version for item in importlib.metadata.distributions() if item.name}
    return {
        "python": platform.python_version(),
        "versions": versions,
        "store": _try_store(store, mark, node),
    }


def _try_store(uri: str, mark: str, node: str) -> str:
    try:
        from scaling.store.files import StoreError
        from scaling.store.store import Store
    except ImportError as error:
        return f"the package cannot be imported there: {error}"
    try:
        store = Store.open(uri)
        if not store.exists(f"{mark}/submitter"):
            return "it does not see what this machine writes"
        store.write(f"{mark}/{node}", "")
    except (StoreError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _types() -> list[dict[str, Any]]:
    return [
        {"name": group.name, "resources": dict(group.resources), "count": group.most}
        for group in node_groups()
        if group.most
    ]


def main() -> None:
    """Ask every living node, print what they say."""
    store, mark = sys.argv[1:3]
    ray.init(log_to_driver=False)
    alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    ask = ray.remote(look)
    asked = {
        key: ask.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(key, soft=False)
        ).remote(store, mark, key)
        for key in alive
    }
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
    silent = {
        "python": platform.python_version(),
        "versions": {},
        "store": f"no answer in {ANSWER_SECONDS} s",
    }
    nodes = []
    for key, reference in asked.items():
        node = alive[key]
        answer = ray.get(reference) if reference in ready else silent
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        nodes.append({"name": name, "resources": node["Resources"], **answer})
    print(PROBE_LINE + json.dumps({"nodes": nodes, "types": _types()}), flush=True)


if __name__ == "__main__":
    main()
