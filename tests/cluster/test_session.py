"""What a session tells its workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.catalogue.hardware import GPUS, Placement
from scaling.cluster.session import SessionOrder, allocator_share, worker_resources
from scaling.planning.memory import GPU_FIXED_GIB


def test_an_order_comes_back_from_json_with_what_it_shares() -> None:
    placement = Placement(sharing=2)
    order = SessionOrder(
        id="s",
        study="{}",
        store="/s",
        steps=("a",),
        placements={"a": placement},
        workers=1,
        use_gpu=True,
        gpu=GPUS["h100-80"],
        resources=worker_resources({"GPU": 1.0, "CPU": 13.0, "gpu:h100-80": 1.0}, 2),
        one_node=True,
        collapsed=frozenset(),
        limits={},
        silent={"b": "tag"},
        stop="",
    )
    back = SessionOrder.from_json(json.loads(json.dumps(order.to_json())))
    assert back == order and back.sharing == 2
    # Of everything the half: Ray puts two such workers on one GPU.
    assert back.resources == {"GPU": 0.5, "CPU": 6, "gpu:h100-80": 0.5}


@pytest.mark.parametrize("sharing", [2, 4])
def test_allocators_and_contexts_of_all_fill_a_device_and_no_more(sharing: int) -> None:
    share = allocator_share(sharing, 80.0)
    assert sharing * (share * 80.0 + GPU_FIXED_GIB) == pytest.approx(80.0)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_puts_as_many_on_a_device_as_share_it(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    # Devices that Ray only counts.
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=2,
        resources={"gpu:h100-80": 2},
        include_dashboard=False,
        log_to_driver=False,
    )
    try:
        half = worker_resources({"GPU": 1.0, "CPU": 1.0, "gpu:h100-80": 1.0}, 2)
        whole = worker_resources({"GPU": 1.0, "CPU": 0.5, "gpu:h100-80": 1.0}, 1)

        @ray.remote(num_cpus=0)
        def device() -> list[int]:
            return list(ray.get_gpu_ids())

        def held(bundle: dict[str, float]) -> tuple[object, list[int] | None]:
            group = placement_group([bundle], strategy="STRICT_PACK")
            if not group.wait(10):
                return group, None
            asked = device.options(
                num_gpus=bundle["GPU"],
                scheduling_strategy=PlacementGroupSchedulingStrategy(group),
            )
            return group, ray.get(asked.remote(), timeout=60)

        found = [held(half)[1], held(half)[1]]
        # The second half joins the first, so that the other device is whole, and then all is held.
        assert found[0] == found[1] and found[0] is not None
        other = held(whole)[1]
        assert other is not None and other != found[0]
        assert held(half)[1] is None
    finally:
        ray.shutdown()
