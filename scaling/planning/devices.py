"""The devices that are there, and whether they are what a study is planned for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scaling.catalogue.hardware import GPUS, GpuSpec
from scaling.spec import UserError

# What a driver keeps for itself, and what data sheets round away.
MEMORY_SHARE = 0.97
# bf16 TFLOP/s of a device that no row of the catalogue describes, for estimates only.
UNKNOWN_TFLOPS = 100.0
# CUDA of a torch build → the oldest driver that runs it (NVIDIA's release notes of CUDA).
OLDEST_DRIVER = {"13": 580, "12": 525, "11": 450}


@dataclass(frozen=True, kw_only=True)
class Device:
    """One GPU as its driver describes it."""

    node: str
    name: str
    memory_gib: float
    driver: str = ""
    """Its version; '' where nobody asked."""
    cuda: str = ""
    """What the torch of the node is built for; '' for a build without CUDA or none."""

    @property
    def text(self) -> str:
        """Node, name and memory, for a message."""
        return f"{self.node} has {self.name} with {self.memory_gib:.1f} GiB"


def read_smi(text: str, node: str, cuda: str) -> tuple[Device, ...]:
    """The devices that nvidia-smi lists.

    Asked with --query-gpu=name,memory.total,driver_version --format=csv,noheader,nounits.
    """
    rows = [
        [part.strip() for part in line.split(",")] for line in text.splitlines() if line.strip()
    ]
    return tuple(
        Device(node=node, name=name, memory_gib=float(mib) / 1024, driver=driver, cuda=cuda)
        for name, mib, driver in rows
    )


def is_kind(name: str, memory_gib: float, gpu: GpuSpec) -> bool:
    """Whether a driver's name and memory are a row of the catalogue, give or take a tenth.

    `h100-80` is what the driver calls NVIDIA H100 80GB HBM3.
    """
    wanted = gpu.name.partition("-")[0].upper()
    return wanted in name.upper().replace(" ", "") and abs(memory_gib / gpu.memory_gib - 1) < 0.1


def known_gpu(device: Device) -> GpuSpec | None:
    """The catalogue's row of a device; None where it has none."""
    return next(
        (gpu for gpu in GPUS.values() if is_kind(device.name, device.memory_gib, gpu)), None
    )


def complaint(devices: Sequence[Device], gpu: GpuSpec) -> str:
    """Why a study that is planned for this GPU cannot run on these; '' where it can."""
    for device in devices:
        oldest = OLDEST_DRIVER.get(device.cuda.partition(".")[0])
        major = device.driver.partition(".")[0]
        if oldest is not None and major.isdigit() and int(major) < oldest:
            return (
                f"{device.node} has driver {device.driver}; its torch is built for CUDA"
                f" {device.cuda}, which needs {oldest} or later"
            )
        if device.memory_gib < MEMORY_SHARE * gpu.memory_gib:
            row = known_gpu(device)
            return (
                f"{device.text}; the study is planned for {gpu.name} with {gpu.memory_gib:.1f}."
                f" Give `gpu: {row.name if row else '…'}`, or keep such nodes out of the pool"
            )
    first = next(iter(devices), None)
    for device in devices:
        if first is not None and device.name != first.name:
            return (
                f"{first.text}, {device.text}: GPUs of two kinds in one pool. Give the nodes of"
                f" each kind a resource of their own (`gpu:{gpu.name}`, see docs/cluster.md)"
            )
    return ""


def planned_gpu(
    devices: Sequence[Device], *, per_node: int, host_gib: float, dollars: float
) -> GpuSpec:
    """What to plan for where a study names no GPU: the one that is there.

    UserError where nobody could be asked.

    Args:
        devices: Those of the cluster that could be asked.
        per_node: Devices of a machine.
        host_gib: Memory of the machine around them, GiB.
        dollars: Price of one device and hour.
    """
    if not devices:
        raise UserError(
            "the study names no GPU and no node with one is alive to be asked; give `gpu:`, one of"
            f" {', '.join(GPUS)}"
        )
    least = min(devices, key=lambda device: device.memory_gib)
    return known_gpu(least) or GpuSpec(
        name=least.name.lower().replace(" ", "-"),
        memory_gib=least.memory_gib,
        bf16_tflops=UNKNOWN_TFLOPS,
        dollars_per_hour=dollars,
        devices_per_node=per_node,
        host_gib=host_gib,
    )
