"""Trainings that collapsed, and how their loss went: to look at, nothing is estimated from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

DRAWN = 100
"""So many curves are drawn at most; each is a file of the store to read."""
WIDTH, HEIGHT = 240, 40
"""Of a drawn curve, in its own units."""
_POINTS = 80

Curves = Callable[[str], pl.DataFrame | str]
"""Training → its curve (columns `update`, `loss`, `gradient_norm`), or why there is none."""


@dataclass(frozen=True, kw_only=True)
class Collapsed:
    """One training that collapsed by its own record, whatever a re-run of it showed."""

    step: str
    family: str
    method: str
    label: str
    """Of its size."""
    dev_score: float | None
    """0..1 on English dev data; None for text in other languages alone."""
    dev_chance: float
    first_loss: float
    last_loss: float
    """Means over the first and last tenth of the updates."""


@dataclass(frozen=True, kw_only=True)
class CollapsedTrainings:
    """All trainings of a study that collapsed."""

    trainings: Sequence[Collapsed] = ()
    curves: Curves = field(default=lambda step: "not kept")

    def of(self, family: str, method: str) -> CollapsedTrainings:
        """Those of one family and method."""
        kept = [one for one in self.trainings if (one.family, one.method) == (family, method)]
        return CollapsedTrainings(trainings=kept, curves=self.curves)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One line of the report."""

    training: Collapsed
    path: str
    """`points` of an SVG polyline in `WIDTH` x `HEIGHT`; empty where `missing` says why."""
    says: str
    """What the line shows, for who cannot see it."""
    largest_norm: float
    """Of the gradients, before clipping; NaN where none was kept."""
    missing: str
    width: int = WIDTH
    height: int = HEIGHT


def drawn_curves(found: CollapsedTrainings) -> list[Drawn]:
    """The first `DRAWN` of the trainings with their curves."""
    return [_drawn(one, found.curves(one.step)) for one in found.trainings[:DRAWN]]


def _drawn(training: Collapsed, curve: pl.DataFrame | str) -> Drawn:
    nan = float("nan")
    if isinstance(curve, str):
        return Drawn(training=training, path="", says="", largest_norm=nan, missing=curve)
    norms = curve["gradient_norm"].drop_nulls().to_numpy()
    known = curve.filter(pl.col("loss").is_finite())
    if known.is_empty():
        return Drawn(
            training=training, path="", says="", largest_norm=nan, missing="no loss is a number"
        )
    # Spikes are what a reader looks for: of each group the point furthest from the middle stays.
    losses, updates = known["loss"].to_numpy(), known["update"].to_numpy()
    away = np.abs(losses - np.median(losses))
    groups = np.array_split(np.arange(len(losses)), min(_POINTS, len(losses)))
    kept = [int(group[away[group].argmax()]) for group in groups]
    low, high = float(losses.min()), float(losses.max())
    first, span = int(updates[0]), max(int(updates[-1] - updates[0]), 1)
    across = (updates[kept] - first) / span * WIDTH
    up = (losses[kept] - low) / (high - low) if high > low else np.full(len(kept), 0.5)
    return Drawn(
        training=training,
        path=" ".join(f"{x:.1f},{(1 - y) * HEIGHT:.1f}" for x, y in zip(across, up, strict=True)),
        says=f"loss from {losses[0]:.3g} to {losses[-1]:.3g}, between {low:.3g} and {high:.3g},"
        f" updates {first:,} to {int(updates[-1]):,}",
        largest_norm=float(np.nanmax(norms)) if np.isfinite(norms).any() else nan,
        missing="",
    )
