"""One pass over a study: everything the report, the tables and the verdict file show, computed
once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from analysis.claims import Checked, check_claims, load_claims
from analysis.collapse import collapse_table, trend_p
from analysis.coverage import coverage_table, missing_cells, shared_checkpoints
from analysis.curves import (
    EXPONENTS,
    exponent_interval,
    fit_saturating,
    fitted_curves,
    leave_largest_out,
)
from analysis.estimands import (
    PRIMARY,
    Estimate,
    balanced,
    interaction,
    pooled_table,
    retention,
)
from analysis.gains import NONE, POOLED_ROLES, first_runs, pair_gains, with_languages
from analysis.pairs import pair_table, size_means
from analysis.panel import Panel, TooFewScales, make_panel, mean_weights, replicas, size_table
from analysis.per_language import language_table
from analysis.power import Advice, Ledger, detectable, next_seeds, seeds_needed, seeds_to_affirm
from analysis.sensitivity import specifications, treatments
from analysis.series import series_table
from analysis.shapes import ShapeTest, shape_test
from analysis.shrink import Languages
from analysis.slope import moments
from analysis.variance import estimate_ledger
from analysis.verdict import Verdict, decide
from scaling.study.question import Question


@dataclass(frozen=True, kw_only=True)
class Power:
    """What this study could see, and what more it would need."""

    replica_sd: float
    detectable: float
    """Points per tenfold scale, power .8."""
    seeds_to_detect_margin: int | None
    seeds_to_affirm: int | None
    advice: tuple[Advice, ...]
    x: tuple[float, ...]
    """log10 scale of the sizes that the primary estimate covers."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Fits of the pooled language curves; None where sizes are too few (`refused` says why)."""

    refused: str
    exponent: float | None
    exponent_low: float | None
    exponent_high: float | None
    identified: bool | None
    errors: dict[str, float]
    """Mean absolute error at the largest size when it is left out, points."""


@dataclass(frozen=True, kw_only=True)
class Results:
    question: Question
    sizes: pl.DataFrame
    gains: pl.DataFrame
    coverage: pl.DataFrame
    missing: pl.DataFrame
    shared: pl.DataFrame
    collapse: pl.DataFrame
    collapse_trend: dict[str, float]
    panel: Panel
    """Primary gains in points."""
    population: str
    """What the verdict is about: `low-resource`, or `all zero-shot` where a study has no
    low-resource language.
    """
    num_series: int
    """Of the population, at any size."""
    curves: pl.DataFrame
    """The population's mean gain at each size and the families that were fitted to it."""
    estimates: dict[str, list[Estimate]]
    """By scale."""
    primary: Estimate
    logit: Estimate
    largest: Estimate
    end: Estimate
    """Largest minus smallest size."""
    retention: tuple[float, float, float]
    gamma: Estimate | None
    shapes: ShapeTest | None
    languages: pl.DataFrame
    fit: Languages
    pairs: pl.DataFrame
    means: pl.DataFrame
    specifications: pl.DataFrame
    treatments: list[Estimate]
    ledger: Ledger
    icc: float
    power: Power
    curve: Curve
    series: pl.DataFrame
    verdict: Verdict
    claims: list[Checked]


def analyse(
    frame: pl.DataFrame,
    question: Question,
    *,
    expected: pl.DataFrame | None = None,
    claims: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Results:
    """All results of one family and method. TooFewScales where no slope exists at all."""
    progress("pairing gains")
    gains = with_languages(pair_gains(frame), question)
    first = with_languages(pair_gains(first_runs(frame)), question)
    sizes = size_table(frame, question.x_axis)
    coverage = coverage_table(frame, gains, expected)
    primary_gains = gains.filter(PRIMARY)
    if gains.is_empty():
        raise TooFewScales(
            "No gain can be paired: no arm and its baseline share a model, target, language and"
            " seed."
        )
    if primary_gains.is_empty():
        raise TooFewScales(
            f"All {len(gains)} gains are of English, of collapsed runs, of controls, or of pairs"
            " that train twice on the same data: none can be pooled."
        )
    panels = {
        scale: make_panel(primary_gains, sizes, scale)
        for scale in ("points", "logit", "error", "chance")
    }
    panel = panels["points"]
    progress("estimating slopes")
    estimates = {scale: pooled_table(one, scale) for scale, one in panels.items()}
    if not estimates["points"]:
        raise TooFewScales(
            "No series has gains at two sizes yet, so there is no slope; see the coverage table."
        )
    population = (
        "low-resource" if estimates["points"][0].name == "low-resource" else "all zero-shot"
    )
    of = {
        (e.scale, e.quantity): e
        for group in estimates.values()
        for e in group
        if e.name == population
    }
    condition = pl.col("low") if population == "low-resource" else pl.lit(True)
    chosen = balanced(panel, condition)
    r = replicas(chosen.y, mean_weights(chosen.series))
    languages, fit = language_table(panel)
    specs = specifications(frame, gains, question, population)
    shared = shared_checkpoints(frame)
    counted = frame.filter(pl.col("role").is_in([NONE, *POOLED_ROLES]))
    in_verdict = shared.join(
        counted.select("model", "arm").unique(), on=["model", "arm"], how="semi"
    )
    seeds = moments(r)[0]
    verdict = decide(
        of["points", "slope"],
        of["logit", "slope"],
        of["points", "largest"],
        margin=question.margin,
        margin_at_largest=question.margin_at_largest,
        min_seeds=int(seeds.min()),
        shared_checkpoint=not in_verdict.is_empty(),
        signs=specs["sign"].drop_nulls().to_list(),
    )
    progress("fitting curves and resampling")
    collapse = collapse_table(frame, sizes)
    shapes = shape_test(r, chosen.x) if chosen.num_sizes > 2 and int(seeds.min()) > 1 else None
    ledger, icc = estimate_ledger(chosen)
    checked = (
        check_claims(load_claims(claims), gains, sizes, expected) if claims is not None else []
    )
    return Results(
        question=question,
        sizes=sizes,
        gains=gains,
        coverage=coverage,
        missing=missing_cells(frame, expected),
        shared=shared,
        collapse=collapse,
        collapse_trend=_trends(collapse),
        panel=panel,
        population=population,
        num_series=len(panel.where(condition).series),
        curves=fitted_curves(chosen),
        estimates=estimates,
        primary=of["points", "slope"],
        logit=of["logit", "slope"],
        largest=of["points", "largest"],
        end=of["points", "end"],
        retention=retention(panel, condition),
        gamma=interaction(panel, "points"),
        shapes=shapes,
        languages=languages,
        fit=fit,
        pairs=pair_table(gains, sizes),
        means=size_means(gains, sizes),
        specifications=specs,
        treatments=treatments(gains, first, sizes, condition, question),
        ledger=ledger,
        icc=icc,
        power=_power(frame, chosen, r, question),
        curve=_curve(languages, panel),
        series=series_table(
            make_panel(gains.filter(~pl.col("collapsed")), sizes, "points"),
            question.resamples,
            question.seed,
        ),
        verdict=verdict,
        claims=checked,
    )


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
    if not np.isfinite(sd):
        return Power(
            replica_sd=sd,
            detectable=sd,
            seeds_to_detect_margin=None,
            seeds_to_affirm=None,
            advice=(),
            x=tuple(panel.x),
        )
    costs, unit = replica_costs(frame, panel)
    return Power(
        replica_sd=sd,
        detectable=detectable(sd, panel.x, seeds),
        seeds_to_detect_margin=seeds_needed(question.margin, sd, panel.x),
        seeds_to_affirm=seeds_to_affirm(question.margin, sd, panel.x),
        x=tuple(panel.x),
        advice=tuple(next_seeds([sd] * len(seeds), panel.x, seeds, costs, panel.labels, unit)),
    )


def replica_costs(frame: pl.DataFrame, panel: Panel) -> tuple[list[float], str]:
    """Mean cost of one replica per size: the sum over its cells, in dollars where every cell has a
    price, else hours.

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


def _curve(languages: pl.DataFrame, panel: Panel) -> Curve:
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
        fit = fit_saturating(y, panel.x)
    except TooFewScales as error:
        return Curve(**{**nothing.__dict__, "refused": str(error), "errors": errors})
    low, high, identified = exponent_interval(fit, y.size, 2 * len(y) + 1)
    # Languages of a run share its noise; this profile treats their cells as independent, so its
    # width is a lower bound.
    edge = float(fit.exponent) in (EXPONENTS[0], EXPONENTS[-1])
    return Curve(
        refused="",
        exponent=float(fit.exponent),
        exponent_low=low,
        exponent_high=high,
        identified=identified and not edge,
        errors=errors,
    )
