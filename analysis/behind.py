"""Which series and replicas entered a number: in, or out with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.answer import verdict_panel
from analysis.estimands import groups
from analysis.gains import ENGLISH, NOT_POOLED
from analysis.pairs import populations
from analysis.panel import SERIES, Panel, balance, make_panel
from analysis.results import Results


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of languages whose mean the report shows."""

    name: str
    """`pool:` and `mean:` stand before the group's name in slopes and in means by size."""
    languages: tuple[str, ...]
    models: tuple[str, ...]
    """Sizes that are in."""


@dataclass(frozen=True, kw_only=True)
class Behind:
    """What entered the numbers of a report, by series."""

    groups: tuple[Group, ...]
    bits: dict[tuple[str, str, str], int]
    """Series (arm, target, language) → 1 << place of every group that it is in, then of its
    language's slope and of its pair's.
    """
    language_models: dict[str, tuple[str, ...]]
    """Sizes of a language's slope."""
    pair_models: dict[tuple[str, str], tuple[str, ...]]


def behind(results: Results) -> Behind:
    """What entered the groups, languages and pairs of `results`."""
    bits: dict[tuple[str, str, str], int] = {}

    def enter(panel: Panel, place: int) -> None:
        for key in panel.series.select(SERIES).iter_rows():
            bits[key] = bits.get(key, 0) | 1 << place

    found: list[Group] = []
    for name, panel in _groups(results):
        chosen = balance(panel)
        enter(chosen, len(found))
        languages = tuple(panel.series["language"].unique().sort())
        found.append(Group(name=name, languages=languages, models=chosen.models))
    language_models = {}
    codes = results.panel.series["language"].to_numpy()
    for code in np.unique(codes):
        own = balance(results.panel.only(codes == code))
        enter(own, len(found))
        language_models[str(code)] = own.models
    healthy = results.gains.filter(~pl.col("collapsed") & (pl.col("language") != ENGLISH))
    pair_models = {}
    if len(healthy):
        whole = make_panel(healthy, results.sizes, "points")
        pairs = whole.series.select("arm", "target").to_struct().rank("dense").to_numpy()
        for place in np.unique(pairs):
            own = balance(whole.only(pairs == place))
            if len(own.series):
                enter(own, len(found) + 1)
                pair_models[own.series["arm"][0], own.series["target"][0]] = own.models
    return Behind(
        groups=tuple(found),
        bits=bits,
        language_models=language_models,
        pair_models=pair_models,
    )


def _groups(results: Results) -> Iterator[tuple[str, Panel]]:
    for name, rule in groups(results.panel).items():
        yield f"pool:{name}", results.panel.where(rule)
    kept = results.gains.filter(pl.col("pooled") & ~pl.col("same_data") & ~pl.col("collapsed"))
    whole = make_panel(kept, results.sizes, "points")
    for name, rule in populations().items():
        part = whole.where(rule)
        if len(part.series):
            yield f"mean:{name}", part


def with_reasons(results: Results) -> pl.DataFrame:
    """The gains with `pooled` (in the verdict's mean) and `left_out` (why not; empty if it is)."""
    chosen = verdict_panel(results)
    inside = chosen.series.select(SERIES).with_columns(pl.lit(True).alias("inside"))
    low = pl.col("low") if results.population == "low-resource" else pl.lit(True)
    gains = results.gains.join(inside, on=SERIES, how="left", maintain_order="left")
    reason = (
        pl.when(pl.col("language") == ENGLISH)
        .then(pl.lit("English"))
        .when(~low)
        .then(pl.lit("not low-resource"))
        .when(~pl.col("pooled"))
        .then(pl.col("role").replace(NOT_POOLED))
        .when("same_data")
        .then(pl.lit("both phases train on the same data"))
        .when("collapsed")
        .then(pl.lit("collapsed run"))
        .when(~pl.col("model").is_in(chosen.models))
        .then(pl.lit("size with too few series"))
        .when(pl.col("inside").is_null())
        .then(pl.lit("series without enough healthy runs at every size"))
        .otherwise(pl.lit(""))
    )
    return gains.with_columns(reason.alias("left_out")).with_columns(
        (pl.col("left_out") == "").alias("pooled")
    )
