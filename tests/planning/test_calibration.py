"""Measurements of speed are kept and used for their own device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.catalogue.hardware import GPUS
from scaling.planning.calibration import add_calibration, measured_on, read_calibrations
from scaling.store.files import StoreError
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


def test_the_memory_of_the_largest_devices_is_a_number_that_is_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    large = calibration(peak_bytes=180 * 2**30, predicted_bytes=2_506_688_716)
    add_calibration(store, large)
    assert read_calibrations(store) == [large]


def test_a_list_of_an_older_version_is_read(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("calibration.json", json.dumps([calibration().model_dump(mode="json")]))
    assert read_calibrations(store) == [calibration()]
    add_calibration(store, calibration(model="xlm-r-large"))
    assert [one.model for one in read_calibrations(store)] == ["xlm-r-base", "xlm-r-large"]


WRONG = [
    {"flops_per_second": float("nan")},
    {"flops_per_second": float("inf")},
    {"flops_per_second": "1e14"},
    {"flops_per_second": 0},
    {"tokens_per_second": float("nan")},
    {"tokens_per_second": -1.0},
    {"update_seconds": -0.1},
    {"device_gib": float("inf")},
    {"device": None},
    {"peak_bytes": -1},
    {"peak_bytes": 1.5},
    {"predicted_bytes": True},
    {"placement": {"workers": 0}},
    {"placement": "fast"},
    {"speed": 1},
]


@pytest.mark.parametrize("change", WRONG)
def test_a_measurement_that_nobody_made_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    store = Store.open(tmp_path)
    store.write(
        "calibration.json", json.dumps([{**calibration().model_dump(mode="json"), **change}])
    )
    with pytest.raises(
        StoreError, match=rf"calibration\.json is broken \({next(iter(change))}.*"
    ) as told:
        read_calibrations(store)
    assert "delete it, and `scaling calibrate` measures again" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text", ["", "{", "null", "3", "{}", "[3]", '{"measured": 3}', "[" * 99999]
)
def test_what_is_no_list_of_measurements(tmp_path: Path, text: str) -> None:
    store = Store.open(tmp_path)
    store.write("calibration.json", text)
    with pytest.raises(StoreError, match=r"calibration\.json is broken"):
        read_calibrations(store)


def test_a_measurement_that_was_altered_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    add_calibration(store, calibration())
    raw = store.read("calibration.json").decode()
    store.write("calibration.json", raw.replace("100000.0", "100001.0"))
    with pytest.raises(StoreError, match="its digest is another"):
        read_calibrations(store)
