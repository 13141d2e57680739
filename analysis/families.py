"""Families and methods beside each other: the signs of their slopes, and what may be compared.

Nothing here pools. Two families differ in network, text, budget and head at once, so that a mean
over them is a number about nothing; what can agree or disagree is the direction of their curves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analysis.gains import JUDGED, SCALES
from scaling.catalogue import TASKS
from scaling.catalogue.models import MODELS

_BY_WORD = ("tagging", "span_qa")

TOGETHER = (
    "Each family and each method has a curve of its own, and no mean is taken over them. They"
    " differ in network, pretraining text, budget and head at once: compare which way the curves"
    " go, not how high they lie. Low-resource is by each family's own pretraining text where that"
    " is known, so the languages may differ; text_of in the question makes them the same."
)
"""Above the table of signs."""


def family_notes(frame: pl.DataFrame) -> list[str]:
    """What a reader must know of the numbers of one family and method; [] for XLM-R in full."""
    family, method = frame["family"][0], frame["method"][0]
    entry = next((model.entry for model in MODELS.values() if model.family == family), None)
    notes = []
    if entry is not None and entry.pooling == "mean":
        notes.append(
            f"{family} is the encoder half of a text-to-text model, with the mean of its tokens"
            " where others have a first token. The sign of its slope can be set beside another"
            " family's; the size of its gains cannot."
        )
    if entry is not None and entry.sees == "left":
        notes.append(
            f"{family} is a decoder that sees to the left only, and its last token stands for a"
            " text. This is intermediate training of decoders: its scores lie on another level than"
            " those of encoders."
        )
        # The kind of a target that a study defines is not in its rows, so it may be one of these.
        targets = frame["target"].unique()
        if any(name not in TASKS or TASKS[name].kind in _BY_WORD for name in targets):
            notes.append(
                f"In tagging and span QA {family} decides on a word, or on where an answer starts,"
                " before it has read what follows. Low scores there say nothing of its size."
            )
    if method != "full":
        notes.append(
            f"Trained by {method}, which is another method than full training, and so another"
            " curve: a rank that serves small sizes need not serve large ones."
        )
    return notes


def slope_signs(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each report and scale, from the contents of their verdict.json.

    Columns name, family, method, population, x_axis, scale, estimate, low, high (95 %, per tenfold
    of the axis; None where there is none) and sign: `falls` or `rises` where the interval leaves
    out zero, `undecided` where it holds it, `not tested` without an interval, `no slope yet`
    without a slope.
    """
    rows = []
    for part in parts:
        row = {name: part.get(name) for name in ("name", "family", "method")}
        if "slope_points" not in part:
            nothing = dict.fromkeys(("population", "x_axis", "scale", "estimate", "low", "high"))
            rows.append({**row, **nothing, "sign": "no slope yet"})
            continue
        for scale in JUDGED:
            found = part[f"slope_{scale}"]
            rows.append(
                {
                    **row,
                    "population": part["population"],
                    "x_axis": part["x_axis"],
                    "scale": SCALES[scale],
                    **{name: found[name] for name in ("estimate", "low", "high")},
                    "sign": _sign(found["low"], found["high"]),
                }
            )
    return rows


def _sign(low: float | None, high: float | None) -> str:
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "not tested"
    return "falls" if high < 0 else "rises" if low > 0 else "undecided"


def agreement(rows: Sequence[Mapping[str, Any]]) -> str:
    """In a sentence, whether the slopes in points go one way."""
    by_sign: dict[str, list[str]] = {}
    for row in rows:
        if row["scale"] in (SCALES["points"], None):
            by_sign.setdefault(row["sign"], []).append(row["name"])
    said = "; ".join(f"{sign}: {', '.join(names)}" for sign, names in by_sign.items())
    known = {"falls", "rises"} & set(by_sign)
    if len(known) == 2:
        return f"The slopes in points differ in sign ({said})."
    if len(known) == 1 and len(by_sign) == 1:
        return f"The slopes in points have one sign ({said})."
    return f"Whether the slopes in points have one sign cannot be told ({said})."
