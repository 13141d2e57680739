"""Lines of a calibration: a share of simulated studies against the band that is promised."""

from __future__ import annotations

import numpy as np

Row = dict[str, object]


def rate(figure: str, target: str, value: float, low: float, high: float, n: int) -> Row:
    """A share of n studies against the band low..high, in per cent."""
    slack = 2 * np.sqrt(max(value * (1 - value), 1 / n) / n)
    return {
        "figure": figure,
        "target": target,
        "value": f"{100 * value:.1f} % of {n:,}",
        "met": bool(low - slack <= value <= high + slack),
    }


def mutation(figure: str, value: float, low: float, high: float, n: int) -> Row:
    """A rule taken out: met if the rate leaves the band by more than three standard errors."""
    slack = 3 * np.sqrt(max(value * (1 - value), 1 / n) / n)
    return {
        "figure": f"mutation: {figure}",
        "target": f"leaves {100 * low:g}–{100 * high:g} %",
        "value": f"{100 * value:.1f} % of {n:,}",
        "met": bool(value < low - slack or value > high + slack),
    }
