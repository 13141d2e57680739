"""Measurements of speed are kept and used for their own device."""

from __future__ import annotations

from pathlib import Path

from scaling.catalogue.hardware import GPUS
from scaling.planning.calibration import add_calibration, measured_on, read_calibrations
from scaling.store.store import Store
from tests.helpers.measured import calibration


def test_a_measurement_counts_for_its_own_device_only(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    add_calibration(store, calibration())
    add_calibration(store, calibration(flops_per_second=2e14))
    add_calibration(store, calibration(device="cpu", device_gib=0.0))
    found = read_calibrations(store)
    assert [one.flops_per_second for one in found] == [2e14, 1e14]
    assert measured_on(found, GPUS["h100-80"])["xlm-r-base"].flops_per_second == 2e14
    assert measured_on(found, GPUS["h200-141"]) == {} == measured_on(found, GPUS["a100-80"])
    assert measured_on(found, None)["xlm-r-base"].device == "cpu"
