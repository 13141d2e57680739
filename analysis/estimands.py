"""The quantities of the study: weighted means over series, contrasts over sizes.

See statistics §1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from analysis.gains import ENGLISH
from analysis.panel import (
    Array,
    Panel,
    TooFewScales,
    balance,
    covariate_weights,
    replicas,
)
from analysis.slope import Contrast, contrast, moments, slope_weights, t_quantile

PRIMARY = (
    pl.col("pooled") & ~pl.col("same_data") & ~pl.col("collapsed") & (pl.col("language") != ENGLISH)
)
"""The gains that estimates are made of: English intermediate tasks, other data than the target's,
runs that did not collapse, zero-shot languages."""

TIERS = ("unseen", "low", "mid", "high", "unknown")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One number with its 95 % and 90 % intervals; NaN intervals where there is no replication."""

    name: str
    quantity: str
    """`slope` per tenfold scale, `smallest` and `largest` (gain at that size), `end` (largest −
    smallest), `mean`.
    """
    scale: str
    estimate: float
    se: float
    df: float
    low: float
    high: float
    low90: float
    high90: float
    p: float
    method: str
    """`trend` (analysis/noise.py) or `welch` variance; `none` without replication."""
    other_low: float
    other_high: float
    """The 95 % interval if the variance were the same at all sizes."""
    num_series: int
    num_languages: int
    num_targets: int
    sizes: str
    seeds: str
    """Replicas per size."""
    span: float
    """Decades of scale between its outer sizes."""

    @property
    def over_span(self) -> float:
        """A slope as the change from the smallest to the largest size; NaN of other quantities."""
        return self.estimate * self.span if self.quantity == "slope" else float("nan")

    def silent(self) -> Estimate:
        """The number without anything that a test needs: for studies that can only be described."""
        nan = float("nan")
        gone = ("se", "df", "low", "high", "low90", "high90", "p", "other_low", "other_high")
        return Estimate(**{**self.__dict__, **dict.fromkeys(gone, nan), "method": "none"})

    @property
    def sign(self) -> int:
        """−1, 0 or +1: the side of zero that the 95 % interval excludes zero for."""
        return -1 if self.high < 0 else 1 if self.low > 0 else 0


def scalar(
    result: Contrast, panel: Panel, r: Array, name: str, quantity: str, scale: str
) -> Estimate:
    """`result` (of one study) as an Estimate, with what it was made of.

    Args:
        result: A contrast whose arrays are scalars.
        panel: The balanced panel behind it.
        r: Replica values [size, seed] that it contrasts.
        name: Of the population or treatment.
        quantity: As `Estimate.quantity`.
        scale: Of the gains.
    """
    low, high = result.interval(0.95)
    low90, high90 = result.interval(0.90)
    other_low, other_high = result.equal_variances().interval(0.95)
    series = panel.series
    return Estimate(
        name=name,
        quantity=quantity,
        scale=scale,
        estimate=float(result.estimate),
        se=float((high - low) / 2 / t_quantile(0.975, result.df)),
        df=float(result.df),
        low=float(low),
        high=float(high),
        low90=float(low90),
        high90=float(high90),
        p=float(result.p),
        method=("welch" if result.welch else "trend") if np.isfinite(low) else "none",
        other_low=float(other_low),
        other_high=float(other_high),
        num_series=len(series),
        num_languages=series["language"].n_unique(),
        num_targets=series["target"].n_unique(),
        sizes=", ".join(panel.labels),
        seeds=" ".join(str(int(c)) for c in moments(r)[0]),
        span=float(np.ptp(panel.x)),
    )


def balanced(panel: Panel, condition: pl.Expr | None = None) -> Panel:
    """The balanced panel of the series that meet `condition`.

    TooFewScales if it has no two sizes or no series.
    """
    chosen = balance(panel if condition is None else panel.where(condition))
    if chosen.num_sizes < 2 or chosen.series.is_empty():
        raise TooFewScales("No series has a gain at two sizes, so no slope exists.")
    return chosen


def quantities(panel: Panel, weights: Array, name: str, scale: str) -> list[Estimate]:
    """Slope, gains at the two outer sizes, and their difference, of one weighting of a panel.

    Args:
        panel: Balanced.
        weights: Of its series, [series].
        name: Of the population.
        scale: Of the gains.
    """
    r = replicas(panel.y, weights)
    first, last = np.eye(panel.num_sizes)[0], np.eye(panel.num_sizes)[-1]
    asked = {
        "slope": slope_weights(panel.x),
        "smallest": first,
        "largest": last,
        "end": last - first,
    }
    return [
        scalar(contrast(r, w, panel.x), panel, r, name, quantity, scale)
        for quantity, w in asked.items()
    ]


def pooled(panel: Panel, condition: pl.Expr | None, name: str, scale: str) -> list[Estimate]:
    """The `quantities` of the mean over the series that meet `condition`.

    Series weigh as in `Panel.weights` of their balanced panel.

    Args:
        panel: Not balanced yet.
        condition: On columns of the panel's series; None for all.
        name: Of the population.
        scale: Of the gains.
    """
    chosen = balanced(panel, condition)
    return quantities(chosen, chosen.weights, name, scale)


def groups(panel: Panel) -> dict[str, pl.Expr]:
    """Name → condition: the question's low-resource languages, the others, the tiers, all.

    Languages of unknown pretraining text are no "others": nobody knows on which side they are.
    Where no text is known at all, Joshi's classes part them.
    """
    known = pl.col("tier") != "unknown"
    other = ~pl.col("low") & (known if len(panel.series.filter(known)) else pl.lit(True))
    out = {"low-resource": pl.col("low"), "other languages": other}
    out |= {f"{tier} (tier)": pl.col("tier") == tier for tier in TIERS}
    out["all zero-shot"] = pl.lit(True)
    return {name: rule for name, rule in out.items() if len(panel.series.filter(rule))}


def pooled_table(panel: Panel, scale: str) -> list[Estimate]:
    """All groups that have a balanced panel; a group without one is left to the coverage table."""
    out: list[Estimate] = []
    for name, rule in groups(panel).items():
        try:
            out += pooled(panel, rule, name, scale)
        except TooFewScales:
            continue
    return out


def interaction(panel: Panel, scale: str) -> Estimate | None:
    """γ: how the slope changes per standard deviation of log10 pretraining text.

    Over languages that the model has seen.

    A contrast between languages of one run, so that the noise they share cancels; then the slope of
    that over replicas (statistics §4.3, the run-level one). None where no target has three seen
    languages.
    """
    try:
        chosen = balanced(panel, pl.col("pretraining_text") > 0)
    except TooFewScales:
        return None
    weights = covariate_weights(chosen.series, standardised_resources(chosen.series))
    if not weights.any():
        return None
    r = replicas(chosen.y, weights)
    return scalar(
        contrast(r, slope_weights(chosen.x), chosen.x),
        chosen,
        r,
        "resource interaction",
        "slope",
        scale,
    )


def interaction_of_a_sample(panel: Panel, scale: str) -> Estimate | None:
    """γ if the languages are a sample of languages.

    The run-level γ with the spread of true slopes around the line added to its error.

    Var = Var(γ of these languages) + τ²/Σ(z − z̄)², τ² = max(residual mean square of the languages'
    slopes on z − their mean own noise, 0) on L − 2 degrees of freedom; the two half-widths are
    added in quadrature. None where γ is, or below four languages.
    """
    conditional = interaction(panel, scale)
    if conditional is None:
        return None
    chosen = balanced(panel, pl.col("pretraining_text") > 0)
    z = standardised_resources(chosen.series)
    codes = chosen.series["language"].to_numpy()
    names = np.unique(codes[np.isfinite(z)])
    if len(names) < 4:
        return None
    own, at = [], []
    for code in names:
        part = chosen.only(codes == code)
        own.append(contrast(replicas(part.y, part.weights), slope_weights(chosen.x), chosen.x))
        at.append(z[codes == code][0])
    b, place = np.array([float(c.estimate) for c in own]), np.array(at)
    d = place - place.mean()
    fit = d @ (b - b.mean()) / (d @ d)
    mean_square = float(((b - b.mean() - fit * d) ** 2).sum() / (len(b) - 2))
    # Noise that languages share moves all slopes alike and is no scatter around the line: what is
    # subtracted is too much, so only the share that is their own is.
    shared = contrast(replicas(chosen.y, chosen.weights), slope_weights(chosen.x), chosen.x)
    noise = np.mean([float(c.se_pooled) ** 2 for c in own]) - float(shared.se_pooled) ** 2
    tau2 = max(mean_square - max(float(noise), 0.0), 0.0)
    extra = np.sqrt(tau2 / (d @ d))
    changed: dict[str, float] = {}
    for level, low, high in ((0.95, "low", "high"), (0.9, "low90", "high90")):
        half = (getattr(conditional, high) - getattr(conditional, low)) / 2
        more = float(t_quantile(0.5 + level / 2, np.asarray(len(b) - 2))) * extra
        wide = float(np.hypot(half, more))
        changed |= {low: conditional.estimate - wide, high: conditional.estimate + wide}
    name = "resource interaction, languages as a sample"
    return Estimate(**{**conditional.__dict__, **changed, "name": name, "p": float("nan")})


def interaction_sign(gammas: Mapping[str, Estimate]) -> int:
    """The sign of γ that may be said: that of all scales and of languages as a sample; 0 if none.

    γ moves on one scale where the gain is constant on another, and between languages by chance.
    """
    signs = {e.sign for e in gammas.values()}
    return signs.pop() if len(signs) == 1 and "sample" in gammas else 0


def standardised_resources(series: pl.DataFrame) -> Array:
    """z [series]: log10 pretraining text, centred and scaled over the languages that were seen.

    NaN for the others.
    """
    size = series["pretraining_text"].to_numpy().astype(float)
    seen = size > 0
    log = np.where(seen, np.log10(np.where(seen, size, 1.0)), np.nan)
    each = (
        series.with_columns(pl.Series("log", log))
        .filter(pl.Series(seen))
        .unique("language")
        .sort("language")["log"]
        .to_numpy()
    )
    if len(each) < 2 or each.std() == 0:
        return np.full(len(series), np.nan)
    return np.asarray((log - each.mean()) / each.std())


def retention(panel: Panel, condition: pl.Expr | None) -> tuple[float, float, float]:
    """Share of the smallest size's gain that is left at the largest.

    Returns the estimate and its 95 % interval by Fieller.

    (NaN, NaN) where the interval is unbounded, as it is whenever the smallest size's gain may be
    zero.
    """
    chosen = balanced(panel, condition)
    r = replicas(chosen.y, chosen.weights)
    first, last = (contrast(r, np.eye(chosen.num_sizes)[i], chosen.x) for i in (0, -1))
    a, b = float(last.estimate), float(first.estimate)
    ratio = a / b if b else float("nan")
    half_b = float(first.interval()[1] - first.estimate)
    half_a = float(last.interval()[1] - last.estimate)
    # The two sizes are independent, so Fieller's quadratic has no cross term: (b² − hb²)ρ² − 2abρ +
    # a² − ha² = 0.
    lead = b * b - half_b * half_b
    root = (a * b) ** 2 - lead * (a * a - half_a * half_a)
    if not np.isfinite(lead) or lead <= 0 or root < 0:
        return ratio, float("nan"), float("nan")
    return ratio, (a * b - root**0.5) / lead, (a * b + root**0.5) / lead


def is_equivalent(estimate: Estimate, margin: float) -> bool:
    """TOST at 5 %."""
    return estimate.low90 > -margin and estimate.high90 < margin


def table(estimates: Sequence[Estimate]) -> pl.DataFrame:
    """Estimates as a frame, one row each, columns as in Estimate and `over_span`."""
    rows = [asdict(item) | {"over_span": item.over_span} for item in estimates]
    return pl.DataFrame(rows, infer_schema_length=None)
