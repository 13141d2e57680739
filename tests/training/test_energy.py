"""Energy as NVML counts it, by a library with NVML's functions in the place of a driver's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from scaling.training.energy import device_joules, joules_of

NVML = """
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  if (strncmp(uuid, "GPU-", 4)) return 6;
  *device = (void *)(uuid[4] == '7' ? 0x700000007 : 0x1);
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
  if (device != (void *)0x700000007) return 3;
  *energy = 7200000000000ULL;
  return 0;
}
"""


def test_joules_are_those_of_the_device_or_unknown(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / "libnvml.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True, timeout=60
    )
    assert joules_of("GPU-7abc", str(library)) == 7.2e9
    assert joules_of("GPU-1abc", str(library)) is None  # a device without a counter
    assert joules_of("MIG-7abc", str(library)) is None  # a part of a device
    assert joules_of("GPU-7abc", str(tmp_path / "none.so")) is None


def test_a_processor_is_not_counted() -> None:
    assert device_joules(torch.device("cpu")) is None
