"""The same question asked in other defensible ways.

The specification curve, and other treatments of the runs.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl

from analysis.estimands import PRIMARY, Estimate, balanced, pooled, scalar
from analysis.gains import JUDGED, family_of, low_by, low_languages
from analysis.panel import (
    SERIES,
    Array,
    Panel,
    TooFewScales,
    make_panel,
    replicas,
    series_columns,
    size_table,
)
from analysis.slope import Contrast, contrast, p_value, slope_weights, t_quantile
from scaling.catalogue.resources import TABLES
from scaling.study.question import Question

SHORT = 1.5
"""An axis on which the largest size is less than this many times the smallest says nothing of
tenfold: a slope per decade would blow up what is next to no difference."""
AXES = ("total_params", "backbone_params", "train_flops")
CHECKPOINTS = "sizes as replicates (other checkpoints)"
INTENDED = "first runs, collapsed ones in (intention to treat)"


def specifications(
    frame: pl.DataFrame, gains: pl.DataFrame, question: Question, population: str
) -> tuple[pl.DataFrame, float]:
    """Slope of the low-resource mean under every axis × low-resource definition × scale.

    Beside it the mean correlation of the errors of two such paths.

    Columns axis, definition, scale, estimate, low, high, over_span (the estimate from the smallest
    to the largest size), sign, primary. An axis that spans less than `SHORT`, and is not the
    question's, is left out. A specification that the
    data cannot carry (an axis on which sizes coincide, no language in a definition) has nulls. A
    study without low-resource languages (`population` is not `low-resource`) has the one definition
    `everyone`.

    Args:
        frame: Tidy rows, for the sizes on each axis.
        gains: Paired gains with facts about their languages.
        question: Says which path is primary, and which languages are listed.
        population: `low-resource` or `all zero-shot`.
    """
    codes = gains["language"].unique().sort().to_list()
    family = family_of(gains, question)
    definitions = {"joshi": low_by(codes, "joshi", family)}
    by_text = TABLES[family].key if family in TABLES else "joshi"
    if family in TABLES:
        definitions = {by_text: low_by(codes, "cc100", family), **definitions}
    if question.low_resource_languages is not None:
        definitions = {"listed": low_languages(codes, question, family), **definitions}
    first = by_text if question.low_resource == "cc100" else "joshi"
    if question.low_resource_languages is not None:
        first = "listed"
    if population != "low-resource":
        definitions, first = {"everyone": frozenset(codes)}, "everyone"
    rows: list[dict[str, object]] = []
    errors: dict[int, Array] = {}
    axes = [axis for axis in AXES if axis == question.x_axis or not _is_short(frame, axis)]
    for axis, (definition, members), scale in product(axes, definitions.items(), JUDGED):
        row: dict[str, object] = {
            "axis": axis,
            "definition": definition,
            "scale": scale,
            "languages": len(members),
            "primary": axis == question.x_axis and definition == first and scale == "points",
        }
        try:
            panel = make_panel(gains, size_table(frame, axis), scale, PRIMARY)
            chosen = balanced(panel, pl.col("language").is_in(sorted(members)))
            r = replicas(chosen.y, chosen.weights)
            w = slope_weights(chosen.x)
            found = scalar(contrast(r, w, chosen.x), chosen, r, definition, "slope", scale)
            errors[len(rows)] = _errors(r, w)
            row |= {
                "estimate": found.estimate,
                "low": found.low,
                "high": found.high,
                "over_span": found.over_span,
                "sign": found.sign,
            }
        except TooFewScales:
            row |= {"estimate": None, "low": None, "high": None, "over_span": None, "sign": None}
        rows.append(row)
    numbers: dict[str, type[pl.DataType]] = {"sign": pl.Int64}
    numbers |= dict.fromkeys(("estimate", "low", "high", "over_span"), pl.Float64)
    table = pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)
    return table, _correlation(list(errors.values()))


def _is_short(frame: pl.DataFrame, axis: str) -> bool:
    """Whether sizes that differ on `axis` span less than `SHORT` on it."""
    try:
        x = size_table(frame, axis)["x"]
    except TooFewScales:
        return False
    return bool(10 ** (x[-1] - x[0]) < SHORT)


def _errors(r: Array, w: Array) -> Array:
    """What each replica adds to the error of a slope, [size · seed]; 0 where there is none."""
    present = np.isfinite(r)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    mean = np.where(present, r, 0.0).sum(axis=1, keepdims=True) / count
    return np.asarray((w[:, None] * np.where(present, r - mean, 0.0) / count).ravel())


def _correlation(errors: list[Array]) -> float:
    """Mean correlation between the errors of two paths; NaN without two of one shape."""
    sizes = [len(e) for e in errors]
    same = [e for e in errors if len(e) == max(sizes)]
    same = [e for e in same if e.any()]
    if len(same) < 2:
        return float("nan")
    matrix = np.asarray(np.corrcoef(np.array(same)))
    return float(matrix[np.triu_indices(len(same), 1)].mean())


def worst_case(
    gains: pl.DataFrame, sizes: pl.DataFrame, condition: pl.Expr
) -> tuple[float, float] | None:
    """Lowest and highest slope in points over what collapsed runs could have shown.

    Every gain of a collapsed run is the least, or the largest, that its series shows in runs that
    converged. None where nothing collapsed.

    Bounds on what the lost runs could have said (Manski 1990), with the observed range of a series
    for the range of what is possible.
    """
    rule = pl.col("pooled") & ~pl.col("same_data") & (pl.col("language") != "en") & condition
    needed = [*series_columns(gains), "model", "seed", "points", "collapsed"]
    kept = gains.lazy().filter(rule).select(needed).collect()
    if not kept["collapsed"].any():
        return None
    healthy = pl.col("points").filter(~pl.col("collapsed"))
    ends = kept.with_columns(
        healthy.min().over(SERIES).alias("least"), healthy.max().over(SERIES).alias("most")
    )
    ends = ends.filter(pl.col("least").is_not_null())
    side = sizes.with_columns((pl.col("x") >= pl.col("x").mean()).alias("upper"))
    ends = ends.join(side.select("model", "upper"), on="model")
    slopes = []
    for up in (False, True):
        high = pl.col("upper") if up else ~pl.col("upper")
        value = pl.when(high).then("most").otherwise("least")
        filled = ends.with_columns(
            pl.when("collapsed").then(value).otherwise("points").alias("points")
        )
        try:
            panel = balanced(make_panel(filled, sizes, "points"))
        except TooFewScales:
            return None
        r = replicas(panel.y, panel.weights)
        slopes.append(float(contrast(r, slope_weights(panel.x), panel.x).estimate))
    return min(slopes), max(slopes)


def treatments(
    gains: pl.DataFrame,
    first: pl.DataFrame,
    sizes: pl.DataFrame,
    condition: pl.Expr,
    question: Question,
) -> list[Estimate]:
    """Slopes of the same languages when runs, series or replicates are treated otherwise; points.

    Args:
        gains: Paired gains of last runs, with facts about their languages.
        first: Gains between first runs alone, for the intention to treat: what a single try of each
            training gives.
        sizes: Of `size_table`.
        condition: Which languages, on columns of the series.
        question: Its seed is that of the permutation.
    """
    english = pl.col("language") == "en"
    samples = {
        "primary": PRIMARY,
        INTENDED: pl.col("pooled") & ~pl.col("same_data") & ~english,
        # A selection on test scores: shown, and no part of any claim.
        "without cells at chance (selects on test scores)": PRIMARY & ~pl.col("floor"),
        "same-data pairs in": pl.col("pooled") & ~pl.col("collapsed") & ~english,
    }
    out: list[Estimate] = []
    for name, rule in samples.items():
        try:
            chosen_gains = first if name == INTENDED else gains
            out.append(
                pooled(
                    make_panel(chosen_gains, sizes, "points", rule),
                    condition,
                    name,
                    "points",
                )[0]
            )
        except TooFewScales:
            continue
    panel = make_panel(gains, sizes, "points", PRIMARY).where(condition)
    try:
        chosen = balanced(panel)
    except TooFewScales:
        return out
    r = replicas(chosen.y, chosen.weights)
    w = slope_weights(chosen.x)
    out.append(
        scalar(
            within_series(panel),
            chosen,
            r,
            "all series, slope within series",
            "slope",
            "points",
        )
    )
    if chosen.num_sizes > 2:
        out.append(_from_t(CHECKPOINTS, chosen, r, *size_means_slope(r, chosen.x)))
    out.append(_permuted(chosen, r, w, question))
    return out


def within_series(panel: Panel) -> Contrast:
    """The slope of gain ~ x | series over all series of two or more sizes.

    Deviations from each series' own mean carry the slope, so that a series that lacks a size cannot
    tilt it (statistics §2.7). Its error is that of the replicas: each is replaced by its influence
    on the slope, and the sum over sizes has the variance rule of every contrast.
    """
    y = panel.y
    present = np.isfinite(y)
    weights = np.where(present.any(axis=1).sum(axis=0) >= 2, panel.weights, 0.0)
    count = np.maximum(present.sum(axis=(0, 1)), 1)
    x = np.broadcast_to(panel.x[:, None, None], y.shape)
    dx = np.where(present, x - np.where(present, x, 0).sum(axis=(0, 1)) / count, 0.0)
    dy = np.where(present, y - np.where(present, y, 0).sum(axis=(0, 1)) / count, 0.0)
    total = (weights * dx**2).sum()
    total = total if total > 0 else np.nan
    # Lack of fit shared by the seeds of a size is not noise: residuals are taken around each (size,
    # series) mean.
    seeds = np.maximum(present.sum(axis=1, keepdims=True), 1)
    inner = np.where(present, y - np.where(present, y, 0).sum(axis=1, keepdims=True) / seeds, 0.0)
    inner = inner * np.sqrt(seeds / np.maximum(seeds - 1, 1))
    score = (weights * dx * inner).sum(axis=-1) / total
    alive = present.any(axis=-1)
    num = alive.sum(axis=1, keepdims=True)
    part = (weights * dx * dy).sum(axis=(1, 2))[:, None] / total
    influence = np.where(alive, score, 0.0)
    centred = influence - influence.sum(axis=1, keepdims=True) / np.maximum(num, 1)
    scale = np.sqrt(np.maximum(num - 1, 0) / np.maximum(num, 1))
    values = np.where(alive, part + num * scale * centred, np.nan)
    here = (num[:, 0] > 0).astype(float)
    return contrast(values, here, panel.x)


def size_means_slope(r: Array, x: Array) -> tuple[float, float, float]:
    """Slope over size means with the spread around the line as error, N − 2 df.

    It generalises to other checkpoints. Returns the slope, its standard error and the degrees of
    freedom.
    """
    mean = np.nanmean(r, axis=1)
    w = slope_weights(x)
    beta = float(w @ mean)
    residual = mean - mean.mean() - beta * (x - x.mean())
    df = len(x) - 2
    return beta, float(np.sqrt((residual @ residual) / df * (w @ w))), float(df)


def permutation_p(r: Array, x: Array, draws: int, seed: int) -> float:
    """Two-sided p of the slope when size labels are shuffled over replicas.

    Exact where replicas of all sizes are equally noisy, and only there: with SDs that rise fivefold
    and two seeds at the largest size it rejects 26 %, and studentising does not mend it in groups
    this small (25 %). So it is printed as what it is, a check under equal variances.

    Args:
        r: Replica values [size, seed], NaN for missing.
        x: log10 scale of the sizes, [size].
        draws: Shuffles.
        seed: Of the shuffles.
    """
    present = np.isfinite(r)
    values = r[present]
    size = np.nonzero(present)[0]
    w = (slope_weights(x) / present.sum(axis=1))[size]
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.broadcast_to(values, (draws, len(values))), axis=1) @ w
    return float((1 + (np.abs(shuffled) >= abs(values @ w) - 1e-12).sum()) / (draws + 1))


def _permuted(panel: Panel, r: Array, w: Array, question: Question) -> Estimate:
    name = "permutation of size labels (valid for equal variances only)"
    base = scalar(contrast(r, w, panel.x), panel, r, name, "slope", "points")
    nan = float("nan")
    p = permutation_p(r, panel.x, 2000, question.seed)
    return Estimate(
        **{**base.__dict__, "p": p, "low": nan, "high": nan, "se": nan, "method": "permutation"}
    )


def _from_t(name: str, panel: Panel, r: Array, beta: float, se: float, df: float) -> Estimate:
    base = scalar(contrast(r, slope_weights(panel.x), panel.x), panel, r, name, "slope", "points")
    degrees = np.asarray(df)
    half = float(t_quantile(0.975, degrees)) * se
    half90 = float(t_quantile(0.95, degrees)) * se
    changed = {
        "estimate": beta,
        "se": se,
        "df": df,
        "low": beta - half,
        "high": beta + half,
        "low90": beta - half90,
        "high90": beta + half90,
        "p": float(p_value(np.asarray(beta), np.asarray(se), degrees)),
        "method": "t",
    }
    return Estimate(**{**base.__dict__, **changed})
