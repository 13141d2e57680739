"""One pass over a study: what the report, tables and verdict file show, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from analysis.claims import check_claims, load_claims
from analysis.cogain import co_gains
from analysis.collapse import collapse_table, label_counts, label_runs, trend_p
from analysis.coverage import coverage_table, missing_cells, shared_checkpoints
from analysis.crossover import crossover
from analysis.curves import exponent_interval, fitted_curves, leave_largest_out
from analysis.dose import dose_table
from analysis.estimands import (
    PRIMARY,
    Estimate,
    balanced,
    interaction,
    interaction_of_a_sample,
    pooled,
    pooled_table,
    retention,
)
from analysis.examples import Outcomes
from analysis.foresight import decisions
from analysis.gains import (
    ENGLISH,
    JUDGED,
    NONE,
    POOLED_ROLES,
    SCALES,
    first_runs,
    pair_gains,
    room_gain,
    with_languages,
)
from analysis.generalise import generalised
from analysis.influence import Variation, influence, is_robust
from analysis.items import Items, item_errors, on_such_examples
from analysis.margins import scale_margins
from analysis.pairs import pair_table, size_means
from analysis.panel import Array, Panel, TooFewScales, make_panel, replicas, size_table
from analysis.per_language import language_table
from analysis.power import detectable, next_seeds, sd_interval, seeds_needed, seeds_to_affirm
from analysis.results import Curve, Power, Results
from analysis.scores import score_table
from analysis.sensitivity import CHECKPOINTS, INTENDED, specifications, treatments, worst_case
from analysis.series import series_table
from analysis.shapes import shape_test
from analysis.silence import silenced
from analysis.slope import contrast, moments, slope_weights
from analysis.variance import estimate_ledger
from analysis.verdict import THESE_CHECKPOINTS, Verdict, decide, why_descriptive
from scaling.study.question import Question

_OF_FIRST = (
    *("family", "model", "arm", "target", "language", "seed", "points"),
    *("pooled", "same_data", "collapsed", "floor"),
)
"""What first runs are asked for."""
CEILINGS = (0.99, 0.98, 0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.91, 0.9, 0.85, 0.8)
"""Ceilings that are tried where none is declared."""


def analyse(
    frame: pl.DataFrame,
    question: Question,
    *,
    expected: pl.DataFrame | None = None,
    claims: Path | None = None,
    outcomes: Outcomes | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Results:
    """All results of one family and method.

    TooFewScales where no slope exists at all.

    Args:
        frame: Checked tidy rows.
        question: The population, scale axis and margins that are fixed before the data.
        expected: The study's grid (model, arm, target, language, seed); None: what the rows
            themselves span.
        claims: A YAML file of claims to check; None for none.
        outcomes: Outcomes of single examples by scoring step; None: not known.
        progress: Called with what is done next.
    """
    progress("pairing gains")
    frame = label_runs(frame)
    gains = with_languages(pair_gains(frame), question)
    first = with_languages(pair_gains(first_runs(frame), extra=False).select(_OF_FIRST), question)
    sizes = size_table(frame, question.x_axis)
    coverage = coverage_table(frame, gains, expected)
    if gains.is_empty():
        raise TooFewScales(
            "No gain can be paired: no arm and its baseline share a model, target, language and"
            " seed."
        )
    if gains.lazy().filter(PRIMARY).select("model").collect().is_empty():
        raise TooFewScales(
            f"All {len(gains)} gains are of English, of collapsed runs, of controls, or of pairs"
            " that train twice on the same data: none can be pooled."
        )
    panels = {scale: make_panel(gains, sizes, scale, PRIMARY) for scale in SCALES}
    panel = panels["points"]
    progress("estimating slopes")
    estimates = {scale: pooled_table(one, scale) for scale, one in panels.items()}
    if not estimates["points"]:
        raise TooFewScales(
            "No series has gains at two sizes yet, so there is no slope; see the coverage table."
        )
    population = "low-resource" if gains["low"].any() else "all zero-shot"
    of = {
        (e.scale, e.quantity): e
        for group in estimates.values()
        for e in group
        if e.name == population
    }
    condition = pl.col("low") if population == "low-resource" else pl.lit(True)
    if ("points", "slope") not in of:
        raise TooFewScales(
            "The low-resource languages, which the question is about, have no series at two sizes"
            " yet; see the coverage table."
        )
    chosen = balanced(panel, condition)
    items = None
    if outcomes is not None:
        progress("reading outcomes of single examples")
        items = item_errors(gains.filter(PRIMARY), panel, chosen, outcomes)
    if question.examples == "such" and items is not None:
        estimates = _on_such(estimates, population, items)
        of |= {
            (e.scale, e.quantity): e
            for group in estimates.values()
            for e in group
            if e.name == population
        }
    r = replicas(chosen.y, chosen.weights)
    span = float(np.ptp(chosen.x))
    languages, fit = language_table(panel)
    specs, correlation = specifications(frame, gains, question, population)
    found = {scale: interaction(panels[scale], scale) for scale in JUDGED}
    found["sample"] = interaction_of_a_sample(panel, "points")
    gammas = {name: e for name, e in found.items() if e is not None}
    shared = shared_checkpoints(frame)
    counted = frame.filter(pl.col("role").is_in([NONE, *POOLED_ROLES]))
    in_verdict = shared.join(
        counted.select("model", "arm").unique(), on=["model", "arm"], how="semi"
    )
    seeds = moments(r)[0]
    treated = treatments(gains, first, sizes, condition, question)
    treated += generalised(chosen)
    bounds = worst_case(gains, sizes, condition)
    others = [(e.estimate, e.estimate) for e in treated if e.name == INTENDED]
    margins = scale_margins(gains.filter(PRIMARY & condition), question.margin, span)
    verdict = decide(
        {scale: of[scale, "slope"] for scale in JUDGED},
        of["points", "largest"],
        margins=margins,
        margin_at_largest=question.margin_at_largest,
        others=others if bounds is None else [*others, bounds],
        reasons=why_descriptive(
            int(seeds.min()),
            not in_verdict.is_empty(),
            _unknown_items(question, items),
            identical=of["points", "slope"].method == "none",
        ),
    )
    other_checkpoints = {e.name: e for e in treated}.get(CHECKPOINTS)
    if verdict.call in ("DIMINISHES", "GROWS") and not (
        other_checkpoints is not None and other_checkpoints.sign
    ):
        verdict = replace(verdict, qualifiers=(*verdict.qualifiers, THESE_CHECKPOINTS))
    varied: list[Variation] = []
    if verdict.call is not None:
        other = {"gains as shares of the room above chance": ("weights", _in_points(panels))}
        runs = _points(first, sizes)
        if runs is not None and gains["collapsed"].any():
            other["first runs, collapsed ones in"] = ("runs", runs)
        varied = influence(panel, condition, other)
    if verdict.call in ("DIMINISHES", "GROWS"):
        whole = contrast(r, slope_weights(chosen.x), chosen.x)
        error = items.of("points", "slope") if items is not None else None
        add = error.shared if error is not None and question.examples == "such" else 0.0
        verdict = replace(verdict, robust=is_robust(whole, varied, add))
    progress("fitting curves and resampling")
    collapse = collapse_table(frame, sizes)
    shapes = shape_test(r, chosen.x) if chosen.num_sizes > 2 and int(seeds.min()) > 1 else None
    ledger, icc = estimate_ledger(chosen)
    checked = check_claims(load_claims(claims), gains, sizes) if claims is not None else []
    results = Results(
        question=question,
        sizes=sizes,
        gains=gains,
        scores=score_table(frame, sizes),
        coverage=coverage,
        missing=missing_cells(frame, expected),
        shared=shared,
        labels=label_counts(frame),
        collapse=collapse,
        collapse_trend=_trends(collapse),
        panel=panel,
        population=population,
        num_series=len(panel.where(condition).series),
        curves=fitted_curves(chosen),
        estimates=estimates,
        primary=of["points", "slope"],
        logit=of["logit", "slope"],
        room=of["room", "slope"],
        margins=margins,
        worst=bounds,
        influence=varied,
        items=items,
        flips=_flips(gains.filter(PRIMARY & condition), sizes, verdict),
        smallest=of["points", "smallest"],
        largest=of["points", "largest"],
        end=of["points", "end"],
        retention=retention(panel, condition),
        gammas=gammas,
        shapes=shapes,
        languages=languages,
        fit=fit,
        doses=dose_table(frame, gains, sizes),
        pairs=pair_table(gains, sizes),
        means=size_means(gains, sizes),
        specifications=specs,
        path_correlation=correlation,
        treatments=treated,
        ledger=ledger,
        icc=icc,
        power=_power(frame, chosen, r, question),
        curve=_curve(languages, panel, r, chosen.x),
        series=series_table(
            make_panel(gains, sizes, "points", ~pl.col("collapsed")),
            question.resamples,
            question.seed,
        ),
        verdict=verdict,
        claims=checked,
        crossover=crossover(frame, chosen, question.point_worth),
        co_gains=co_gains(panel),
        foresight=decisions(chosen),
    )
    return silenced(results)


def _on_such(
    estimates: dict[str, list[Estimate]], population: str, items: Items
) -> dict[str, list[Estimate]]:
    """The population's estimates on the scales of the verdict, with the draw of examples."""
    out = {}
    for scale, group in estimates.items():
        found = [items.of(scale, e.quantity) if e.name == population else None for e in group]
        out[scale] = [
            e if error is None else on_such_examples(e, error)
            for e, error in zip(group, found, strict=True)
        ]
    return out


def _unknown_items(question: Question, items: Items | None) -> str:
    """Why a question about such examples cannot be tested; empty where it can."""
    if question.examples == "these":
        return ""
    slope = items.of("points", "slope") if items is not None else None
    if slope is None:
        return "the question is about such examples, and scores lack their per-example outcomes"
    if not slope.known:
        return "the question is about such examples, and fewer than 8 of them differ between arms"
    return ""


def _points(gains: pl.DataFrame, sizes: pl.DataFrame) -> Panel | None:
    """The panel in points of pooled gains with collapsed runs in; None where there is none."""
    rule = pl.col("pooled") & ~pl.col("same_data") & (pl.col("language") != ENGLISH)
    panel = make_panel(gains, sizes, "points", rule)
    return panel if len(panel.series) else None


def _in_points(panels: dict[str, Panel]) -> Panel:
    """Gains as shares of the room above chance, scaled to the mean size of gains in points."""
    points, room = panels["points"], panels["chance"]
    factor = np.nanmean(np.abs(points.y)) / max(float(np.nanmean(np.abs(room.y))), 1e-12)
    return replace(room, y=room.y * factor)


def _flips(gains: pl.DataFrame, sizes: pl.DataFrame, verdict: Verdict) -> float | None:
    """The largest ceiling below 1 (steps of .01) at which the third scale does not carry the claim
    any more, for the targets without a declared ceiling; the others keep theirs.
    """
    if verdict.call not in ("DIMINISHES", "GROWS") or not gains["ceiling"].is_null().any():
        return None
    claimed = -1 if verdict.call == "DIMINISHES" else 1
    best = pl.max_horizontal("value", "baseline").max().over("target")
    for ceiling in CEILINGS:
        tried = pl.max_horizontal(pl.lit(ceiling), best + 0.002).clip(upper_bound=1.0)
        top = pl.coalesce("ceiling", tried)
        panel = make_panel(
            gains.with_columns(room_gain(top, "chance_level").alias("room")), sizes, "room"
        )
        found = pooled(panel, None, "ceiling", "room")[0]
        if found.sign != claimed:
            return float(ceiling)
    return None


def _trends(collapse: pl.DataFrame) -> dict[str, float]:
    """Exact p of a trend of collapse over sizes, with phase ii and without."""
    out = {}
    for name, rule in {
        "without phase ii": pl.col("arm") == NONE,
        "with phase ii": pl.col("arm") != NONE,
    }.items():
        part = (
            collapse.filter(rule)
            .group_by("model", maintain_order=True)
            .agg(pl.col("collapsed", "runs").sum())
        )
        if len(part) > 1:
            out[name] = trend_p(part["collapsed"].to_list(), part["runs"].to_list())
    return out


def _power(frame: pl.DataFrame, panel: Panel, r: np.ndarray, question: Question) -> Power:
    count, _, variance = moments(r)
    free = np.maximum(count - 1, 0)
    df = free.sum()
    sd = float(np.sqrt(np.where(count > 1, variance * free, 0).sum() / df)) if df else float("nan")
    seeds = [int(c) for c in count]
    span = float(np.ptp(panel.x))
    if not np.isfinite(sd):
        return Power(
            replica_sd=sd,
            sds=(),
            detectable=sd,
            detectable_interval=(sd, sd),
            seeds_to_detect_margin=None,
            seeds_to_affirm=None,
            advice=(),
            x=tuple(panel.x),
        )
    costs, unit = replica_costs(frame, panel)
    seen, (low, high) = detectable(sd, panel.x, seeds), sd_interval(sd, df)
    return Power(
        replica_sd=sd,
        sds=tuple(np.sqrt(variance).tolist()),
        detectable=seen,
        detectable_interval=(seen * low / sd, seen * high / sd) if sd else (seen, seen),
        seeds_to_detect_margin=seeds_needed(question.margin / span, sd, panel.x),
        seeds_to_affirm=seeds_to_affirm(question.margin / span, sd, panel.x),
        x=tuple(panel.x),
        advice=tuple(next_seeds([sd] * len(seeds), panel.x, seeds, costs, panel.labels, unit)),
    )


def replica_costs(frame: pl.DataFrame, panel: Panel) -> tuple[list[float], str]:
    """Mean cost of one replica per size, and its unit.

    The sum over its cells, in dollars where every cell has a price, else in device hours.

    Steps that cells share are counted in each, so this is an upper bound.
    """
    cells = frame.group_by("model", "arm", "target", "seed").agg(
        pl.col("dollars", "wall_seconds").max()
    )
    priced = cells["dollars"].null_count() == 0 and float(cells["dollars"].sum()) > 0
    value = pl.col("dollars") if priced else pl.col("wall_seconds") / 3600
    per = dict(
        cells.group_by("model", "seed")
        .agg(value.sum().alias("cost"))
        .group_by("model")
        .agg(pl.col("cost").sort().mean())
        .iter_rows()
    )
    return [float(per[name]) for name in panel.models], "$" if priced else "device hours"


def _curve(languages: pl.DataFrame, panel: Panel, r: Array, x: Array) -> Curve:
    gains = languages.select(f"gain_{i}" for i in range(panel.num_sizes)).to_numpy()
    y = gains[np.isfinite(gains).all(axis=1)]
    nothing = Curve(
        refused="", exponent=None, exponent_low=None, exponent_high=None, identified=None, errors={}
    )
    try:
        if not len(y):
            raise TooFewScales("No language has a gain at every size.")
        errors = leave_largest_out(y, panel.x)
    except TooFewScales as error:
        return Curve(**{**nothing.__dict__, "refused": str(error)})
    try:
        found = exponent_interval(r, x)
    except TooFewScales as error:
        return Curve(**{**nothing.__dict__, "refused": str(error), "errors": errors})
    return Curve(
        refused="",
        exponent=found.estimate,
        exponent_low=found.low,
        exponent_high=found.high,
        identified=found.identified,
        errors=errors,
    )
