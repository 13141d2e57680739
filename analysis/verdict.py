"""From estimates to a verdict: a rule fixed before the data, applied without discretion.

A change is claimed only if it shows on all three scales of measurement (points, log odds, log odds
between chance and ceiling) and has the same sign however collapsed runs are treated. "No change" is
claimed only if it holds on all three scales too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.estimands import Estimate, is_equivalent
from analysis.gains import SCALES

Call = Literal["DIMINISHES", "EQUIVALENT", "GROWS", "INCONCLUSIVE"]

SCALE_BOUND = "depends on the scale of measurement"
TREATMENT_BOUND = "depends on the collapsed runs"
SMALL = "detectable but small"
DESCRIPTIVE = "descriptive only"
THESE_CHECKPOINTS = "of these checkpoints; not shown for others"
"""A claim that the scatter of the sizes around the line would undo (analysis/generalise.py)."""
IDENTICAL = "the replicas of every size are identical: nothing says how far another run would land"
"""A reason: scores of few examples coincide by chance, which is no sign that runs do not differ."""
_WORDS = {-1: "falls", 0: "shows no change", 1: "rises"}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the study says on its question, and how far that holds."""

    call: Call | None
    """None where the study is descriptive only."""
    form: str
    """The verdict as shown: the call, or why it is none."""
    qualifiers: tuple[str, ...]
    """`detectable but small`, `conditional on this checkpoint`, …"""
    reasons: tuple[str, ...]
    """Why it is descriptive only; empty otherwise."""
    by_scale: tuple[str, ...]
    """What the gain does on each scale: `falls in points`, …; empty where nothing is tested."""
    vanished: bool | None
    """Whether the gain at the largest size is equivalent to none; None without intervals."""
    robust: bool | None = None
    """Whether the claim survives every omission of analysis/influence.py; None without a claim."""

    @property
    def claims(self) -> bool:
        """Whether anything is claimed: only then are further families of tests opened."""
        return self.call in ("DIMINISHES", "GROWS", "EQUIVALENT")


def why_descriptive(
    min_seeds: int, shared_checkpoint: bool, unknown_items: str = "", *, identical: bool = False
) -> tuple[str, ...]:
    """Why a study can be described and not tested; () where it can be tested.

    Args:
        min_seeds: Replicas of the size that has fewest.
        shared_checkpoint: Whether seeds share a run of phase ii.
        unknown_items: Why nothing says what other examples would show; empty where it is known.
        identical: Whether no size has two replicas that differ.
    """
    reasons = [unknown_items] if unknown_items else []
    if min_seeds < 2:
        reasons.append(
            "at least one size has a single seed: nothing says how far another run would land"
        )
    elif identical:
        reasons.append(IDENTICAL)
    if shared_checkpoint:
        reasons.append(
            "seeds share a run, so they are not replicates: conditional on this checkpoint"
        )
    return tuple(reasons)


def agreed(signs: NDArray[np.int64]) -> NDArray[np.int64]:
    """signs[..., scale] of −1, 0, 1 → the sign that all scales show, [...]; 0 where they differ."""
    return np.where((signs == signs[..., :1]).all(axis=-1), signs[..., 0], 0)


def decide(
    slopes: Mapping[str, Estimate],
    largest: Estimate,
    *,
    margins: Mapping[str, float],
    margin_at_largest: float,
    others: Sequence[tuple[float, float]] = (),
    reasons: Sequence[str] = (),
) -> Verdict:
    """The verdict on the slopes of one population.

    Args:
        slopes: By scale; per tenfold.
        largest: The gain at the largest size, points.
        margins: By scale: the slope that changes a gain by the margin from the smallest to the
            largest size.
        margin_at_largest: Points.
        others: Lowest and highest slope in points under each other treatment of collapsed runs
            (equal where a treatment gives one number): a claim needs the sign of all.
        reasons: Of `why_descriptive`: nothing is tested.
    """
    points = slopes["points"]
    shared = any("share a run" in reason for reason in reasons)
    qualifiers = ["conditional on this checkpoint"] if shared else []
    if reasons or points.method == "none":
        return Verdict(
            call=None,
            form=DESCRIPTIVE,
            qualifiers=tuple(qualifiers),
            reasons=tuple(reasons) or ("no replication",),
            by_scale=(),
            vanished=None,
        )
    call, form = _call(slopes, margins, others)
    if points.sign and abs(points.estimate) < margins["points"]:
        qualifiers.append(SMALL)
    return Verdict(
        call=call,
        form=form,
        qualifiers=tuple(qualifiers),
        reasons=(),
        by_scale=tuple(f"{_WORDS[e.sign]} in {SCALES[scale]}" for scale, e in slopes.items()),
        vanished=is_equivalent(largest, margin_at_largest),
    )


def _call(
    slopes: Mapping[str, Estimate],
    margins: Mapping[str, float],
    others: Sequence[tuple[float, float]],
) -> tuple[Call, str]:
    sign = int(agreed(np.array([e.sign for e in slopes.values()])))
    equal = {is_equivalent(e, margins[scale]) for scale, e in slopes.items()}
    if sign:
        if any(sign * low <= 0 or sign * high <= 0 for low, high in others):
            return "INCONCLUSIVE", TREATMENT_BOUND
        claim: Call = "DIMINISHES" if sign < 0 else "GROWS"
        return claim, claim
    if equal == {True}:
        return "EQUIVALENT", "EQUIVALENT"
    # A test that passes on one scale and not on another says something about the scale.
    if any(e.sign for e in slopes.values()) or True in equal:
        return "INCONCLUSIVE", SCALE_BOUND
    return "INCONCLUSIVE", "INCONCLUSIVE"
