"""Several studies of one family together: the mean slope over laboratories or designs.

A random-effects meta-analysis. Studies differ in more than noise, so the slope of one is a draw
from those of its kind: τ² by Paule & Mandel (1982), the interval by Hartung & Knapp (2001) with
Knapp & Hartung's floor (the interval is never narrower than without heterogeneity), on K − 1
degrees of freedom. Two studies give a wide interval, rightly. The studies must be about the same
population and axis, and be tested: a study that is descriptive only has no error to weigh it by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.gains import JUDGED, SCALES
from analysis.load import BadInput
from analysis.panel import Array
from analysis.slope import t_quantile

_SAME = ("family", "method", "population", "x_axis")
"""Two families or methods are never pooled (analysis/families.py shows them side by side)."""


@dataclass(frozen=True, kw_only=True)
class Combined:
    """The mean slope over studies on one scale."""

    scale: str
    estimate: float
    low: float
    high: float
    tau: float
    """SD of true slopes between studies."""
    expected_low: float
    expected_high: float
    """Where the true slope of one more such study lies, 95 %; NaN below three studies."""
    studies: int


def combine(slopes: Array, errors: Array, scale: str = "points") -> Combined:
    """Mean of slopes [study] with standard errors [study]; needs two."""
    b, v = np.asarray(slopes, dtype=float), np.maximum(np.asarray(errors, dtype=float) ** 2, 1e-300)
    num = len(b)
    if num < 2:
        raise BadInput(f"A mean over studies needs two of them; there are {num}.")
    tau2 = _between(b, v)
    weight = 1 / (v + tau2)
    mean = float((weight * b).sum() / weight.sum())
    spread = float((weight * (b - mean) ** 2).sum()) / (num - 1)
    se = float(np.sqrt(max(spread, 1.0) / weight.sum()))
    half = float(t_quantile(0.975, np.asarray(num - 1))) * se
    nan = float("nan")
    reach = (
        float(t_quantile(0.975, np.asarray(num - 2))) * float(np.hypot(np.sqrt(tau2), se))
        if num > 2
        else nan
    )
    return Combined(
        scale=scale,
        estimate=mean,
        low=mean - half,
        high=mean + half,
        tau=float(np.sqrt(tau2)),
        expected_low=mean - reach,
        expected_high=mean + reach,
        studies=num,
    )


def _between(b: Array, v: Array) -> float:
    """τ² by bisection of Σ (b − m)²/(v + τ²) = K − 1; 0 where even τ² = 0 leaves less."""

    def excess(tau2: float) -> float:
        weight = 1 / (v + tau2)
        mean = (weight * b).sum() / weight.sum()
        return float((weight * (b - mean) ** 2).sum()) - (len(b) - 1)

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(((b - b.mean()) ** 2).sum())
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def combined_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> list[Combined]:
    """The mean slope on every scale over the contents of several verdict.json.

    [] where fewer than two are tested, or where they are about different families, methods,
    populations or axes.
    """
    tested = [one for one in verdicts if one.get("verdict") is not None]
    if len(tested) < 2 or any(len({one[name] for one in tested}) > 1 for name in _SAME):
        return []
    out = []
    for scale in JUDGED:
        found = [one[f"slope_{scale}"] for one in tested]
        slopes, errors = (np.array([e[name] for e in found]) for name in ("estimate", "se"))
        out.append(combine(slopes, errors, SCALES[scale]))
    return out


def combined_reports(folders: Sequence[Path]) -> list[Combined]:
    """The mean slope over the reports of several studies; BadInput names one that does not fit."""
    verdicts = []
    for folder in folders:
        path = folder / "verdict.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is no verdict of a report: {error}") from error
        if "family" not in found and found.get("verdict") is not None:
            raise BadInput(f"{path} does not say its family: write it again with `scaling report`.")
        if found.get("verdict") is None:
            raise BadInput(f"{path} tests nothing, so that it has no error to be weighed by.")
        verdicts.append(found)
    for name in _SAME:
        values = sorted({str(one[name]) for one in verdicts})
        if len(values) > 1:
            raise BadInput(f"The studies differ in their {name}: {', '.join(values)}.")
    return combined_verdicts(verdicts)
