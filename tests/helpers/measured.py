"""A measurement that nobody made."""

from __future__ import annotations

from scaling.catalogue.hardware import Placement
from scaling.planning.calibration import Calibration


def calibration(**fields: object) -> Calibration:
    """Of Base on an H100, with the fields that are given."""
    return Calibration(
        **{
            "model": "xlm-r-base",
            "device": "NVIDIA H100 80GB HBM3",
            "device_gib": 79.1,
            "placement": Placement(),
            "flops_per_second": 1e14,
            "tokens_per_second": 1e5,
            "peak_bytes": 1,
            "predicted_bytes": 1,
            "measured_at": "2026-11-23",
            **fields,
        }
    )  # type: ignore[arg-type]
