"""The coded verdict: one rule, decided before the data, applied without discretion (statistics
§6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.estimands import Estimate, is_equivalent

Call = Literal["DIMINISHES", "EQUIVALENT", "GROWS", "INCONCLUSIVE"]

CEILING = "diminishes in points, consistent with a ceiling"
FLOOR = "grows in points, consistent with the scale of measurement"
SMALL = "detectable but small"
DESCRIPTIVE = "descriptive only"
ROBUST_SHARE = 10 / 12
"""A verdict is robust if at least 10 of 12 specifications agree with it (the same share of
fewer).
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    call: Call | None
    """None where the study is descriptive only."""
    form: str
    """The verdict as shown: the call, or one of its qualified forms."""
    qualifiers: tuple[str, ...]
    """`detectable but small`, `conditional on this checkpoint`, …"""
    reasons: tuple[str, ...]
    """Why it is descriptive only; empty otherwise."""
    vanished: bool | None
    """Whether the gain at the largest size is equivalent to none; None without intervals."""
    agree: int
    specifications: int
    robust: bool | None


def decide(
    points: Estimate,
    logit: Estimate,
    largest: Estimate,
    *,
    margin: float,
    margin_at_largest: float,
    min_seeds: int,
    shared_checkpoint: bool,
    signs: list[int],
) -> Verdict:
    """The verdict on the low-resource slope.

    DIMINISHES needs both scales: a gain that is constant in log odds shrinks in points near a
    ceiling, so points alone say nothing about transfer (statistics §0.3). `signs`: of the
    specification curve, −1, 0 or +1 each.
    """
    reasons = []
    if min_seeds < 2:
        reasons.append(
            "at least one size has a single seed: nothing says how far another run would land"
        )
    if shared_checkpoint:
        reasons.append(
            "seeds share a run, so they are not replicates: conditional on this checkpoint"
        )
    qualifiers: list[str] = []
    if shared_checkpoint:
        qualifiers.append("conditional on this checkpoint")
    if reasons or points.method == "none":
        return Verdict(
            call=None,
            form=DESCRIPTIVE,
            qualifiers=tuple(qualifiers),
            reasons=tuple(reasons) or ("no replication",),
            vanished=None,
            agree=0,
            specifications=len(signs),
            robust=None,
        )
    call, form = _call(points, logit, margin)
    if points.sign and abs(points.estimate) < margin:
        qualifiers.append(SMALL)
    agree = sum(sign == (points.sign if call in ("DIMINISHES", "GROWS") else 0) for sign in signs)
    return Verdict(
        call=call,
        form=form,
        qualifiers=tuple(qualifiers),
        reasons=(),
        vanished=is_equivalent(largest, margin_at_largest),
        agree=agree,
        specifications=len(signs),
        robust=bool(signs) and agree >= ROBUST_SHARE * len(signs) - 1e-9,
    )


def _call(points: Estimate, logit: Estimate, margin: float) -> tuple[Call, str]:
    if points.sign < 0 and logit.sign < 0:
        return "DIMINISHES", "DIMINISHES"
    if points.sign > 0 and logit.sign > 0:
        return "GROWS", "GROWS"
    # Significant in points only: the form says so, the call does not claim a change of transfer.
    if points.sign < 0:
        return "INCONCLUSIVE", CEILING
    if is_equivalent(points, margin):
        return "EQUIVALENT", "EQUIVALENT"
    return "INCONCLUSIVE", FLOOR if points.sign > 0 else "INCONCLUSIVE"
