"""What is there is compared with what is planned for, with both numbers."""

from __future__ import annotations

import pytest

from scaling.catalogue.hardware import GPUS, get_gpu
from scaling.planning.devices import Device, complaint, is_kind, known_gpu, planned_gpu, read_smi
from scaling.spec import UserError

H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"
SMI = f"{H100}, 81559, 580.65.06\n{H100}, 81559, 580.65.06\n"


def device(
    name: str = H100, gib: float = 79.6, driver: str = "580.65", cuda: str = "13.0"
) -> Device:
    return Device(node="n1", name=name, memory_gib=gib, driver=driver, cuda=cuda)


def test_what_the_driver_says_is_read_and_known() -> None:
    found = read_smi(SMI, "n1", "13.0")
    assert len(found) == 2 and found[0].driver == "580.65.06"
    assert known_gpu(found[0]) == get_gpu("h100-80")
    assert complaint(found, get_gpu("h100-80")) == ""


@pytest.mark.parametrize(
    ("name", "gib", "gpu"),
    [
        ("NVIDIA A10G", 22.1, "a10g-24"),
        ("NVIDIA L4", 22.3, "l4-24"),
        ("NVIDIA L40S", 44.5, "l40s-48"),
        (A100, 39.5, "a100-40"),
        ("NVIDIA A100-SXM4-80GB", 79.3, "a100-80"),
        ("NVIDIA GeForce RTX 4090", 23.5, "rtx4090-24"),
        ("NVIDIA H200", 139.8, "h200-141"),
        ("NVIDIA B200", 178.3, "b200-180"),
    ],
)
def test_every_row_is_found_by_its_drivers_name(name: str, gib: float, gpu: str) -> None:
    assert [row for row in GPUS if is_kind(name, gib, GPUS[row])] == [gpu]


def test_a_device_smaller_than_planned_is_refused_with_both_numbers() -> None:
    small = [device(A100, 39.5)]
    assert complaint(small, get_gpu("h100-80")) == (
        "n1 has NVIDIA A100-SXM4-40GB with 39.5 GiB; the study is planned for h100-80 with 79.2."
        " Give `gpu: a100-40`, or keep such nodes out of the pool"
    )
    # More memory than planned for does no harm.
    assert complaint([device(gib=139.8)], get_gpu("h100-80")) == ""


def test_two_kinds_and_an_old_driver_are_refused() -> None:
    two = [device(), device("NVIDIA H200", 139.8)]
    assert "GPUs of two kinds in one pool" in complaint(two, get_gpu("h100-80"))
    old = complaint([device(driver="535.104")], get_gpu("h100-80"))
    assert (
        old == "n1 has driver 535.104; its torch is built for CUDA 13.0, which needs 580 or later"
    )
    assert complaint([device(driver="535.104", cuda="12.6")], get_gpu("h100-80")) == ""


def test_a_study_that_names_no_gpu_is_planned_for_the_one_that_is_there() -> None:
    given = {"per_node": 2, "host_gib": 100.0, "dollars": 0.0}
    assert planned_gpu([device(A100, 39.5), device()], **given) == get_gpu("a100-40")
    unknown = planned_gpu([device("Fantasy 9", 12.0)], **given)
    assert (unknown.memory_gib, unknown.devices_per_node) == (12.0, 2)
    with pytest.raises(UserError, match="names no GPU and no node with one is alive"):
        planned_gpu([], **given)
