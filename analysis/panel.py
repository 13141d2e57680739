"""Gains as one array, and the weights that turn series into one number per run.

The array is over sizes, seeds and series.

The independent unit of this design is the replica: one (size, seed) run of the whole pipeline.
Languages of one checkpoint share its noise, arms share the baseline run, targets share the phase-ii
checkpoint. So a statement about many series is first averaged inside each replica, and only
replicas are counted (statistics §0.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from scaling.spec import UserError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SERIES = ["arm", "target", "language"]
FACTS = ("language_name", "pretraining_text", "text_unit", "joshi", "tier", "low")
"""Columns about a language that a panel's series carry, where the gains have them."""
MIN_SHARE = 0.5
"""A size with less than this share of the series of the fullest size is shown, but is not in the
panel.
"""


_RAKES = 20


class TooFewScales(UserError):
    """Fewer sizes than the curve has parameters, or than the statement needs."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Gains y[size, seed, series], NaN where there is no gain.

    Sizes are in ascending order of x.
    """

    models: tuple[str, ...]
    labels: tuple[str, ...]
    x: Array
    """log10 of the scale, [size]."""
    seeds: tuple[int, ...]
    series: pl.DataFrame
    """One row per series, in the order of the last axis of y: arm, target, language and its
    facts.
    """
    y: Array
    """[size, seed, series]."""
    whole: pl.DataFrame | None = None
    """The series before the panel was balanced: what the weights of arms and targets stand for."""

    @property
    def weights(self) -> Array:
        """`mean_weights` of the series, [series].

        The arms and targets of the whole weigh as they do there.
        """
        return mean_weights(self.series, self.whole)

    @property
    def num_sizes(self) -> int:
        """How many sizes it has."""
        return len(self.models)

    def only(self, keep: Mask) -> Panel:
        """The panel of some of the series."""
        return replace(self, series=self.series.filter(pl.Series(keep)), y=self.y[:, :, keep])

    def where(self, condition: pl.Expr) -> Panel:
        """The panel of the series that meet a condition on their columns; unknown meets none."""
        return self.only(
            self.series.with_columns(condition.fill_null(False).alias("keep"))["keep"].to_numpy()
        )

    def sizes(self, keep: Iterable[int]) -> Panel:
        """The panel of some of the sizes, by index."""
        index = list(keep)
        return replace(
            self,
            models=tuple(self.models[i] for i in index),
            labels=tuple(self.labels[i] for i in index),
            x=self.x[index],
            y=self.y[index],
        )


def size_table(frame: pl.DataFrame, axis: str) -> pl.DataFrame:
    """Columns model, label, scale, x = log10(scale): one row per size, ascending.

    Training FLOPs differ by cell: a size's value is the mean over its cells that have a phase ii,
    on the arms and targets that every size has run, or else a size that was run on the cheap ones
    alone would look small. Where no cell is common to all, log10 FLOPs are fitted by size and cell.
    TooFewScales if there are not two sizes, or if two of them have the same scale.
    """
    rows = frame.filter(pl.col("arm") != "none") if axis == "train_flops" else frame
    cells = rows.select("model", "model_label", "arm", "target", "seed", axis).unique()
    if axis == "train_flops":
        cells = _common(cells, axis)
    table = (
        cells.group_by("model")
        .agg(
            pl.col("model_label").sort().first().alias("label"),
            pl.col(axis).cast(pl.Float64).sort().mean(),
        )
        .rename({axis: "scale"})
        .sort("scale", "model")
    )
    if len(table) < 2:
        raise TooFewScales(
            f"A curve over scale needs two sizes; the records hold {table['model'].to_list()}."
        )
    if (table["scale"] <= 0).any() or table["scale"].n_unique() < len(table):
        raise TooFewScales(f"The sizes {table['model'].to_list()} do not differ in {axis}.")
    return table.with_columns(pl.col("scale").log10().alias("x"), _label(table))


def _common(cells: pl.DataFrame, axis: str) -> pl.DataFrame:
    """`cells` of the (arm, target) pairs that every model has; where there is none, one row a model
    with 10^(its effect) of log10 `axis` ~ model + pair, least squares.
    """
    pairs = cells.group_by("arm", "target").agg(pl.col("model").n_unique().alias("num"))
    shared = pairs.filter(pl.col("num") == cells["model"].n_unique())
    if len(shared):
        return cells.join(shared, on=["arm", "target"], how="semi")
    mean = (
        cells.group_by("model", "model_label", "arm", "target")
        .agg(pl.col(axis).cast(pl.Float64).log10().sort().mean().alias("log"))
        .sort("model", "arm", "target")
        .with_columns(pair=pl.concat_str("arm", "target", separator="\n"))
    )
    model = mean["model"].rank("dense").to_numpy().astype(int) - 1
    pair = mean["pair"].rank("dense").to_numpy().astype(int) - 1
    design = np.zeros((len(mean), model.max() + 1 + pair.max()))
    design[np.arange(len(mean)), model] = 1
    later = pair > 0
    design[later, model.max() + pair[later]] = 1
    effect, _, rank, _ = np.linalg.lstsq(design, mean["log"].to_numpy(), rcond=None)
    if rank < design.shape[1]:
        raise TooFewScales(
            "Sizes were run on different arms and targets that no others link, so that their"
            " training FLOPs cannot be compared."
        )
    return (
        mean.with_columns(pl.Series("effect", 10 ** effect[model]))
        .group_by("model", "model_label", maintain_order=True)
        .agg(pl.col("effect").first().alias(axis))
    )


def _label(table: pl.DataFrame) -> pl.Expr:
    """The label of a size; its name where a label is empty or not unique."""
    unique = table["label"].n_unique() == len(table) and (table["label"] != "").all()
    return (pl.col("label") if unique else pl.col("model")).alias("label")


def series_columns(gains: pl.DataFrame) -> list[str]:
    """Columns that name a series, and those of `FACTS` that the gains have."""
    return [*SERIES, *(name for name in FACTS if name in gains.columns)]


def make_panel(
    gains: pl.DataFrame, sizes: pl.DataFrame, scale: str, where: pl.Expr | None = None
) -> Panel:
    """The panel of the series in `gains` on one of the gain scales.

    Args:
        gains: Paired gains with facts about their languages.
        sizes: Of `size_table`.
        scale: A column of `gains`.
        where: Which gains; None for all. Of a large study only the columns that a panel needs are
            copied.
    """
    of_series = series_columns(gains)
    rows = gains.lazy().filter(pl.lit(True) if where is None else where)
    gains = rows.select([*of_series, "model", "seed", scale]).collect()
    series = gains.select(of_series).unique(subset=SERIES).sort(SERIES).with_row_index("k")
    models = sizes["model"].to_list()
    seeds = gains["seed"].unique().sort().to_list()
    y = np.full((len(models), len(seeds), len(series)), np.nan)
    keyed = (
        gains.select([*SERIES, "model", "seed", scale])
        .join(series.select([*SERIES, "k"]), on=SERIES)
        .join(pl.DataFrame({"model": models, "i": range(len(models))}), on="model")
        .join(
            pl.DataFrame(
                {"seed": seeds, "j": range(len(seeds))}, schema_overrides={"seed": pl.Int64}
            ),
            on="seed",
        )
    )
    y[keyed["i"].to_numpy(), keyed["j"].to_numpy(), keyed["k"].to_numpy()] = (
        keyed[scale].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    )
    return Panel(
        models=tuple(models),
        labels=tuple(sizes["label"]),
        x=sizes["x"].to_numpy(),
        seeds=tuple(seeds),
        series=series.drop("k"),
        y=y,
    )


def balance(panel: Panel) -> Panel:
    """The series that exist at every size that counts.

    The same series at each size, so that the mix is constant.

    Averaging whatever exists per size can invent a slope: with the largest size run only where
    gains are big, a true slope of 0 showed as +1.39 points per decade (statistics §2.7). A size
    counts if it has half of the series of the fullest size; sizes that share no series with the
    others are dropped, scarcest first.

    A series with one surviving seed at a size where others have more says nothing about noise
    there, and leaves the panel too (with 10 % collapse, coverage is 90 % with such series and 95 %
    without them), unless no other series of its arm is left: an arm that collapses often at one
    size would leave all of them, and take its slope out of the answer.
    """
    seeds = np.isfinite(panel.y).sum(axis=1)
    # Where most series of a size have one seed, the size itself has one: nothing to ask of them.
    twice = (seeds >= 2).sum(axis=1) >= 0.5 * np.maximum((seeds >= 1).sum(axis=1), 1)
    once, present = seeds >= 1, seeds >= np.where(twice, 2, 1)[:, None]
    counts = present.sum(axis=1)
    keep = [
        i for i in range(panel.num_sizes) if counts[i] > 0 and counts[i] >= MIN_SHARE * counts.max()
    ]
    while keep and not present[keep].all(axis=0).any():
        keep.remove(min(keep, key=lambda i: (counts[i], i)))
    if not keep:
        none = np.zeros(len(panel.series), dtype=bool)
        return replace(panel.sizes(keep).only(none), whole=panel.series)
    chosen = present[keep].all(axis=0)
    if not chosen.all():
        left = panel.series.filter(pl.Series(chosen))["arm"].unique().to_list()
        lost = ~panel.series["arm"].is_in(left).to_numpy()
        chosen = chosen | (lost & once[keep].all(axis=0))
    return replace(panel.sizes(keep).only(chosen), whole=panel.series)


def mean_weights(series: pl.DataFrame, whole: pl.DataFrame | None = None) -> Array:
    """Weights [series] that average series inside a task, then tasks equally; sum 1.

    This is XTREME's convention.

    `whole`: the series before some were lost. Then targets that are left weigh equally, and arms
    weigh as in the whole (raking, Deming & Stephan 1940): an arm that lost half of its series to
    collapse still counts as the arm that it is.
    """
    if series.is_empty():
        return np.zeros(0)
    counts = series.select(
        pl.len().over("target").alias("n"), pl.col("target").n_unique().alias("targets")
    )
    plain = 1.0 / (counts["n"].to_numpy() * counts["targets"].to_numpy().astype(float))
    if whole is None or len(whole) == len(series):
        return np.asarray(plain)
    # What is left of neither an arm nor a target cannot be weighed for it.
    kept = whole.filter(
        *(pl.col(what).is_in(series[what].unique().to_list()) for what in ("arm", "target"))
    )
    margin = kept.with_columns(pl.Series("w", mean_weights(kept))).group_by("arm").agg(pl.sum("w"))
    shares = dict(margin.iter_rows())
    arms, targets = series["arm"].to_numpy(), series["target"].to_numpy()
    weights = plain
    total = sum(shares[arm] for arm in np.unique(arms))
    num = len(np.unique(targets))
    for _ in range(_RAKES):
        for target in np.unique(targets):
            at = targets == target
            weights = np.where(at, weights / weights[at].sum() / num, weights)
        # Arms last: where an arm is left in one target only, both cannot hold, and its share must.
        for arm in np.unique(arms):
            at = arms == arm
            weights = np.where(at, weights * shares[arm] / total / weights[at].sum(), weights)
    return np.asarray(weights)


def covariate_weights(series: pl.DataFrame, z: Array, min_languages: int = 3) -> Array:
    """Weights [series] whose sum against gains is the slope of the gain on z[series].

    The slope is per language, targets equal.

    Inside each target the least-squares slope over its series; targets with fewer than three
    languages, or no spread in z, have no slope and weigh nothing. All zero where no target has one.
    """
    weights = np.zeros(len(series))
    targets = series["target"].to_numpy()
    languages = series["language"].to_numpy()
    used = 0
    for target in sorted(set(targets)):
        at = (targets == target) & np.isfinite(z)
        if len(set(languages[at])) < min_languages:
            continue
        centred = z[at] - z[at].mean()
        weights[at] = centred / (centred @ centred)
        used += 1
    return weights / used if used else weights


def replicas(y: Array, weights: Array) -> Array:
    """Weighted sums of gains inside each replica.

    y[..., size, seed, series], weights[series] → [..., size, seed].

    With all gains present this is the plain weighted sum. Where a series lacks some seeds, the
    size's value is still the weighted sum of series means, and a replica's value is that plus S
    times its influence on it; a residual of a series with c of S seeds is scaled by
    sqrt(c(S−1)/(S(c−1))), so that the variance between replicas over S estimates the variance of
    the size's value. NaN: a replica without any gain.
    """
    used = weights != 0
    y, weights = y[..., used], weights[used]
    present = np.isfinite(y)
    filled = np.where(present, y, 0.0)
    if present.all():
        return np.asarray(filled @ weights)
    count = present.sum(axis=-2, keepdims=True)
    mean = filled.sum(axis=-2, keepdims=True) / np.maximum(count, 1)
    alive = present.any(axis=-1)
    num = alive.sum(axis=-1)[..., None, None]
    scale = np.sqrt(count * np.maximum(num - 1, 0) / (num.clip(1) * np.maximum(count - 1, 1)))
    influence = np.where(present, filled - mean, 0.0) * scale / np.maximum(count, 1)
    total = np.where(count > 0, mean, np.nan)[..., 0, :] @ weights
    values = np.where(alive, total[..., None] + num[..., 0] * (influence @ weights), np.nan)
    single = ((count == 1)[..., 0, :] @ np.abs(weights)) > 0.5 * np.abs(weights).sum()
    first = alive & (alive.cumsum(axis=-1) == 1)
    return np.where(single[..., None], np.where(first, total[..., None], np.nan), values)
