"""verdict.json: what a report says, for machines."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from analysis import sentences
from analysis.answer import answer
from analysis.estimands import Estimate
from analysis.results import Results
from analysis.sensitivity import INTENDED


def verdict_json(results: Results) -> dict[str, Any]:
    """The verdict for machines.

    Numbers are points unless named otherwise, null where there is no interval.
    """
    v = results.verdict
    return {
        "schema": 2,
        "verdict": v.call,
        "form": sentences.shown_form(results),
        "qualifiers": list(v.qualifiers),
        "reasons": list(v.reasons),
        "answer": asdict(answer(results)),
        "family": results.gains["family"][0],
        "method": results.gains["method"][0],
        "population": results.population,
        "x_axis": results.question.x_axis,
        "margin": results.question.margin,
        "slope_points": _plain(results.primary),
        "slope_logit": _plain(results.logit),
        "slope_room": _plain(results.room),
        "by_scale": list(v.by_scale),
        "slope_first_runs": next(
            (e.estimate for e in results.treatments if e.name == INTENDED), None
        ),
        "slope_worst_case": results.worst,
        "ceiling_at_which_it_flips": results.flips,
        "labels": dict(results.labels.iter_rows()),
        "examples": _examples(results),
        "largest_minus_smallest": _plain(results.end),
        "gain_at_smallest": _plain(results.smallest),
        "gain_at_largest": _plain(results.largest),
        "vanished_at_largest": v.vanished,
        "retention": _retention(results),
        "resource_interaction": {name: _plain(e) for name, e in results.gammas.items()},
        "shape_test_p": None if results.shapes is None else float(results.shapes.p),
        "robust": v.robust,
        "influence": [asdict(item) for item in results.influence],
        "detectable_slope": results.power.detectable,
        "detectable_slope_interval": results.power.detectable_interval,
        "seeds_to_detect_margin": results.power.seeds_to_detect_margin,
        "seeds_to_affirm_no_change": results.power.seeds_to_affirm,
        "languages": {
            word: results.languages.filter(pl.col("direction") == word)["language"].to_list()
            for word in ("falls", "rises", "undecided")
            if v.claims
        },
        "crossover": _crossover(results),
        "foresight": results.foresight.to_dicts(),
        "claims": [
            {
                "name": c.claim.name,
                "model": c.model,
                "status": c.status,
                "estimate": c.estimate,
                "low": c.low,
                "high": c.high,
            }
            for c in results.claims
        ],
    }


def _retention(results: Results) -> dict[str, float] | None:
    """Share of the smallest size's gain that is left at the largest; None unless both are gains."""
    if min(results.smallest.estimate, results.largest.estimate) <= 0:
        return None
    return dict(zip(("estimate", "low", "high"), results.retention, strict=True))


def _examples(results: Results) -> dict[str, Any]:
    """What the verdict speaks of, and what the draw of examples does to the slope in points."""
    items = results.items
    error = items.of("points", "slope") if items is not None else None
    return {
        "estimand": f"on {results.question.examples} examples",
        "item_se": None if error is None or not error.known else error.se,
        "beyond_the_seeds_se": None if error is None or not error.known else error.shared,
        "deciding_items": None if error is None else error.items,
        "scores_without_outcomes": None if items is None else items.missing,
    }


def _crossover(results: Results) -> dict[str, Any] | None:
    """Prices by size, and the scale from which on phase ii is not worth its cost.

    An end beyond the largest size is `beyond`, one below the smallest `below`.
    """
    found = results.crossover
    if found is None:
        return None
    c = found.crossing
    ends = {} if c is None else {"at": c.at, "low": c.low, "high": c.high}
    words = {0.0: "below", math.inf: "beyond"}
    return {
        "unit": found.costs.unit,
        "worth_of_a_point": found.worth,
        "sizes": found.table.to_dicts(),
        **{name: words.get(value, value) for name, value in ends.items()},
    }


def _plain(e: Estimate) -> dict[str, Any]:
    return {
        key: value
        for key, value in asdict(e).items()
        if key not in ("name", "quantity", "scale", "other_low", "other_high")
    }


def write_json(path: Path, value: dict[str, Any]) -> None:
    """JSON that reads; numbers that do not exist are null."""
    path.write_text(
        json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _finite(value: Any) -> Any:
    """NaN and infinity → null: they are not JSON. Floats to nine digits, so that the file reads."""
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
