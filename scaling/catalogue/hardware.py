"""GPUs, their prices, and how a step is laid out on them. One row adds a GPU."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scaling.spec import Spec, UserError, known

GIB = 2**30


class GpuSpec(Spec):
    """A type of GPU and the machine around it."""

    name: str
    memory_gib: float
    bf16_tflops: float
    """Dense peak, from the vendor's data sheet."""
    dollars_per_hour: float
    """An assumption of `PRICES_DATED`, on-demand, one device; give your own with `--prices`."""
    devices_per_node: int = 8
    host_gib: float = 1152
    """Memory of the machine around the devices, of a common cloud machine with them: what
    offloading may use.
    """
    memory_gbs: float = 500
    """GB/s of its memory, from the vendor's data sheet."""
    link_gbs: float = 12
    """GB/s of a collective between the devices of a node, as rings reach it."""
    host_link_gbs: float = 31.5
    """GB/s between a device and its host, one way, by the standard: PCIe 4.0 × 16 31.5, 5.0 × 16
    63 (PCI-SIG; the generation from the vendor's data sheet).
    """
    host_memory_gbs: float = 51
    """GB/s of host memory for each device, where two sockets of eight channels serve eight: 25.6 a
    channel of DDR4-3200, 38.4 of DDR5-4800, 44.8 of DDR5-5600 (JEDEC; memory as in common cloud
    machines with the device).
    """


# Middle of the ranges seen on public price pages, which disagree by a factor of three.
PRICES_DATED = "2026-11"


# name memory_gib bf16_tflops dollars_per_hour devices_per_node host_gib memory_gbs link_gbs
# host_link_gbs host_memory_gbs
_TABLE = """
a10g-24    22.5  70   1.0 1 64   600  12  31.5 51
l4-24      22.5  121  0.8 1 64   300  12  31.5 51
rtx4090-24 23.5  165  0.5 1 64   1008 12  31.5 51
a100-40    39.5  312  1.5 8 1152 1555 240 31.5 51
l40s-48    44.4  362  1.2 4 384  864  20  31.5 51
a100-80    79.2  312  1.9 8 1152 2039 240 31.5 51
h100-80    79.2  989  3.0 8 2048 3350 350 63   77
h200-141   139.8 989  3.8 8 2048 4800 350 63   77
b200-180   178.3 2250 5.0 8 2048 8000 700 63   90
"""


def _parse(table: str) -> dict[str, GpuSpec]:
    found = {}
    for line in table.strip().splitlines():
        name, memory, tflops, dollars, devices, host, bandwidth, link, *around = line.split()
        found[name] = GpuSpec(
            name=name,
            memory_gib=float(memory),
            bf16_tflops=float(tflops),
            dollars_per_hour=float(dollars),
            devices_per_node=int(devices),
            host_gib=float(host),
            memory_gbs=float(bandwidth),
            link_gbs=float(link),
            host_link_gbs=float(around[0]),
            host_memory_gbs=float(around[1]),
        )
    return found


GPUS: dict[str, GpuSpec] = _parse(_TABLE)


# Share of a GPU's peak that its matrix products reach in bf16, and of its memory's bandwidth that
# a step of the optimizer does (on a host too): 550 of 989 TFLOP/s and 2.7 of 3.35 TB/s on an H100.
GEMM_SHARE = 0.55
BANDWIDTH_SHARE = 0.8


# What two cores of a laptop or a small cloud machine reach in fp32, FLOP/s per worker; for the
# demo's estimates.
CPU_FLOPS = 45e9


# Start of a worker group: processes, imports, process group. Measured on two CPU cores; hours on
# GPUs hide it.
START_SECONDS = 25.0


# Elements that DeepSpeed reduces or gathers at once, and most gathered parameters under ZeRO-3.
# XXL's embedding alone is more than DeepSpeed's own limit of 1e9 for the second.
BUCKET_ELEMENTS = 200_000_000


LIVE_ELEMENTS = 2_000_000_000


# Elements of its share that a rank updates at once under ZeRO-3.
GROUP_ELEMENTS = 1_000_000_000


# Work of a pass besides its tokens, in tokens: launches on a GPU (an assumption), calls and the
# gradient of the word embeddings on a CPU (measured: 4 layers of 256, 8,000 pieces).
PASS_TOKENS = {"cuda": 500, "cpu": 32}


class Placement(Spec):
    """How a step is laid out. Never part of its identity."""

    workers: int = Field(default=1, gt=0, le=100_000)
    """Devices, one process each."""
    sharing: Literal[1, 2, 4] = 1
    """Trainings of one worker each that share a device: while one waits for its launches, the
    others compute.
    """
    zero_stage: Literal[0, 1, 2, 3] = 1
    micro_batch: int = Field(default=32, gt=0, le=65_536)
    """Examples of the longest kind per device and pass: a pass takes up to so many times
    `max_length` tokens.
    """
    packed: bool = False
    """Leave padding out of all layers: fewer products where texts of one pass differ in length."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass: less memory, a third more work."""
    offload_optimizer: bool = False
    """Keep optimizer states in host memory: less GPU memory, slower updates. ZeRO stage 1 or
    more.
    """
    whole_vocabulary: bool = False
    """Train the word embeddings of all tokens, also of those that no text of a training has: the
    same weights, and more memory.
    """
    resume_every: int = Field(default=0, ge=0)
    """Updates between resume points; 0 for resume points by the clock, which short steps never
    reach.
    """

    @model_validator(mode="after")
    def _check(self) -> Placement:
        if self.offload_optimizer and self.zero_stage == 0:
            raise UserError("offload_optimizer needs ZeRO stage 1, 2 or 3; this is 0")
        if self.sharing > 1 and self.workers > 1:
            raise UserError(
                f"sharing {self.sharing} needs 1 worker; this has {self.workers}, and those of one"
                " gang cannot share a device"
            )
        return self

    @property
    def devices(self) -> float:
        """Devices that it holds: less than one where they are shared."""
        return self.workers if self.sharing == 1 else 1 / self.sharing

    def share(self, batch: int) -> int:
        """Examples of each worker in a global batch; UserError if that is not a whole number."""
        if batch % self.workers:
            raise UserError(
                f"a global batch of {batch} does not divide over {self.workers} workers; "
                f"choose workers among {[n for n in range(1, batch + 1) if batch % n == 0]}"
            )
        return batch // self.workers

    def rows(self, batch: int) -> int:
        """Examples of the longest kind in a pass."""
        return min(self.micro_batch, self.share(batch))


def get_gpu(name: str) -> GpuSpec:
    """The GPU of this name; UserError with the nearest names otherwise."""
    return GPUS[known("GPU", name, GPUS, "gpus")]
