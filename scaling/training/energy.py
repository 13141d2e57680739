"""Energy of a device, by the counter that NVML keeps since the driver was loaded."""

from __future__ import annotations

import ctypes

import torch

JOULES_PER_KWH = 3.6e6


def device_joules(device: torch.device) -> float | None:
    """What a CUDA device has used so far, in joules; None where nothing counts it."""
    if device.type != "cuda":
        return None
    return joules_of(f"GPU-{torch.cuda.get_device_properties(device).uuid}")


def joules_of(uuid: str, library: str = "libnvidia-ml.so.1") -> float | None:
    """The counter of the device of this UUID; None without NVML, or where it has no counter.

    Devices before Volta and parts of a device (MIG) have none.
    """
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        if nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) != 0:
            return None
        found = nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        return millijoules.value / 1000 if found == 0 else None
    finally:
        nvml.nvmlShutdown()
