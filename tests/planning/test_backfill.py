"""Devices that sessions share, whole ones beside them, and reservations for both."""

from __future__ import annotations

from scaling.planning.backfill import (
    RunningSession,
    free_devices,
    new_cell,
    open_cells,
    reserve,
)


def half(cell: int, ends_at: float) -> RunningSession:
    return RunningSession(
        steps=(), gang=0.5, held={0: 0.5}, cell=cell, taken_at=0.0, ends_at=ends_at, dollars=0.0
    )


def test_what_is_left_of_shared_devices_is_no_device() -> None:
    apart = [half(cell=0, ends_at=50.0), half(cell=1, ends_at=100.0)]
    # Two halves on two devices: there is room for two more halves, and for no whole gang.
    assert free_devices([2], apart) == [0] and open_cells(0.5, apart) in ({0: 0}, {0: 1})
    found = reserve(1, [2], [0], apart)
    assert found is not None and (found.at, found.spare) == (50.0, 0)
    # A second half that ends later keeps the device for as long.
    later = half(cell=0, ends_at=500.0)
    found = reserve(1, [2], [0], [*apart, later])
    assert found is not None and found.at == 100.0
    assert open_cells(0.5, [apart[0], later]) == {} and new_cell(0, apart) == 2
