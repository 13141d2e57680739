"""What a probe may find, and what speaks against a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scaling.catalogue.hardware import Placement
from scaling.cluster.check import (
    DRIVER_RESOURCE,
    Findings,
    Node,
    NodeType,
    complaints,
    wanted_versions,
)
from scaling.study.study import Study

ROOT = Path(__file__).parents[2]
WANTED = {"torch": "2.13.0", "ray": "2.60.0"}
HEAD = Node(
    name="head",
    resources={"CPU": 16, DRIVER_RESOURCE: 64},
    python="3.11.7",
    versions={"torch": "2.13.0+cu130", "ray": "2.60.0"},
    store="",
)
WORKER = replace(HEAD, name="worker", resources={"CPU": 96, "GPU": 8})
STUDY = Study(
    name="s", models=["xlm-r-xxl"], arms=["none"], targets=["panx"], seeds=[0], gpu="h100-80"
)  # type: ignore[arg-type]


def spoken(
    nodes: list[Node], types: list[NodeType], study: Study = STUDY, store: str = "s3://b/p"
) -> str:
    return "\n".join(
        complaints(Findings(nodes=tuple(nodes), types=tuple(types)), study, WANTED, store)
    )


def test_a_cluster_that_fits_is_not_refused() -> None:
    assert spoken([HEAD, WORKER], []) == ""
    assert (
        spoken([HEAD], [NodeType(name="h100x8", resources={"CPU": 192, "GPU": 8}, count=1)]) == ""
    )


def test_what_fits_on_no_device_is_refused_before_a_job_is_sent() -> None:
    given = STUDY.model_copy(update={"placement": {"default": Placement(workers=2, zero_stage=3)}})
    assert "xlm-r-xxl, placed as the study says, needs" in spoken([HEAD, WORKER], [], given)
    small = STUDY.model_copy(update={"gpu": "a10g-24"})
    assert "xlm-r-xxl does not fit on a node of 1 × a10g-24" in spoken([HEAD, WORKER], [], small)


def test_node_types_that_nobody_looked_at_are_named() -> None:
    kinds = (
        NodeType(name="small", resources={"CPU": 16}, count=1),
        NodeType(name="h100", resources={"GPU": 8}, count=1),
    )
    assert [kind.name for kind in Findings(nodes=(HEAD,), types=kinds).unseen] == ["h100"]
    assert Findings(nodes=(HEAD, WORKER), types=kinds).unseen == ()


@pytest.mark.parametrize(
    ("nodes", "types", "message"),
    [
        ([HEAD], [], "no node type has a GPU; there is 1 × head (16 CPU)"),
        (
            [HEAD],
            [NodeType(name="a10g", resources={"CPU": 16, "GPU": 1}, count=2)],
            (
                "xlm-r-xxl needs 4 GPUs at once and the cluster can hold 2; there is 2 × a10g (16"
                " CPU, 1 GPU)"
            ),
        ),
        ([HEAD, replace(WORKER, resources={"CPU": 3, "GPU": 8})], [], "the cluster can hold 3"),
        ([WORKER], [], "no node has the resource driver_slot"),
        (
            [HEAD, replace(WORKER, versions={"ray": "2.60.0", "torch": "2.12.1+cu128"})],
            [],
            "torch is 2.12.1 on worker; this study runs with 2.13.0",
        ),
        ([HEAD, replace(WORKER, versions={"ray": "2.60.0"})], [], "torch is none on worker"),
        ([HEAD, replace(WORKER, python="3.12.1")], [], "different Pythons: 3.11.7, 3.12.1"),
        (
            [HEAD, replace(WORKER, store="OSError: Access Denied")],
            [],
            "the store s3://b/p cannot be used from worker: OSError: Access Denied",
        ),
    ],
)
def test_what_speaks_against_a_cluster(
    nodes: list[Node], types: list[NodeType], message: str
) -> None:
    assert message in spoken(nodes, types)


def test_a_folder_of_the_laptop_is_refused() -> None:
    said = spoken(
        [HEAD, replace(WORKER, store="it does not see what this machine writes")],
        [],
        store="/home/me/runs",
    )
    assert "one that every node and this machine share" in said


def test_versions_that_are_wanted_are_those_that_are_pinned() -> None:
    wanted = wanted_versions(ROOT / "pyproject.toml")
    assert wanted["ray"] == "2.60.0"
    assert {"torch", "transformers", "deepspeed", "pyarrow"} <= wanted.keys()
    assert "pydantic" not in wanted
