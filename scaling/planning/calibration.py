"""What `scaling calibrate` measured, kept in the store for later estimates on such a device."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, ValidationError

from scaling.catalogue.hardware import GpuSpec, Placement
from scaling.planning.devices import is_kind
from scaling.spec import Spec, first_fault
from scaling.store.store import Store

_FILE = "calibration.json"
_MEASURED = "measured"


class Calibration(Spec):
    """One size on one device."""

    model: str
    device: str
    """As the driver names it; `cpu`."""
    device_gib: float = Field(ge=0)
    placement: Placement
    update_seconds: float = Field(default=0.0, ge=0)
    """Of an update whatever its tokens; 0 where one length alone was measured."""
    flops_per_second: float = Field(gt=0)
    """Model FLOPs per second and worker, after recomputation, padding and communication."""
    tokens_per_second: float = Field(ge=0)
    """Real tokens, of all workers."""
    # Memory of a device is beyond the largest number that other fields take.
    peak_bytes: int = Field(ge=0, le=2**50)
    predicted_bytes: int = Field(ge=0, le=2**50)
    """What `scaling plan` had said."""
    measured_at: str


def read_calibrations(store: Store) -> list[Calibration]:
    """Newest last; [] if nothing was measured. StoreError for a file of something else."""
    try:
        raw = store.read_json(_FILE)
    except FileNotFoundError:
        return []
    try:
        # Before there was a digest the list stood alone.
        entries = raw if isinstance(raw, list) else raw[_MEASURED]
        return [Calibration.model_validate(entry) for entry in entries]
    except ValidationError as error:
        raise store.broken(_FILE, first_fault(error)) from error
    except (TypeError, KeyError) as error:
        raise store.broken(_FILE, "no list of measurements") from error


def add_calibration(store: Store, measured: Calibration) -> None:
    """Keep a measurement; an earlier one of the same size and device gives way."""
    others = [
        other
        for other in read_calibrations(store)
        if (other.model, other.device) != (measured.model, measured.device)
    ]
    kept = [other.model_dump(mode="json") for other in [*others, measured]]
    store.write_json(_FILE, {_MEASURED: kept})


def measured_on(calibrations: list[Calibration], gpu: GpuSpec | None) -> Mapping[str, Calibration]:
    """By model, what was measured on this kind of device."""
    return {measured.model: measured for measured in calibrations if is_device(measured, gpu)}


def is_device(measured: Calibration, gpu: GpuSpec | None) -> bool:
    """Whether a measurement is of this kind of device; None stands for CPUs.

    The driver calls `h100-80` NVIDIA H100 80GB HBM3: the name must be in it, and the memory equal
    within a tenth.
    """
    if gpu is None or measured.device == "cpu":
        return gpu is None and measured.device == "cpu"
    return is_kind(measured.device, measured.device_gib, gpu)
