"""What is left of the results of a study that can only be described.

Numbers, and nothing that tests them.

Where seeds share a run, or a size has one, no interval, p, q or status means what it says; a reader
who finds one in a table will use it. So they are taken out in one place, after everything is
computed and before anything is written. Where the study can be tested but claims nothing, the
families of tests behind the pooled question (languages, claims, the interaction) stay closed.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import polars as pl

from analysis.crossover import Crossover
from analysis.results import Results
from analysis.shrink import Languages

_LANGUAGES = (
    "se",
    "df",
    "low",
    "high",
    "p",
    "moderated_low",
    "moderated_high",
    "eb",
    "eb_low",
    "eb_high",
    "false_sign",
    "q",
)


def silenced(results: Results) -> Results:
    """`results` without what their verdict does not allow to say."""
    if results.verdict.call is None:
        return _described(results)
    return results if results.verdict.claims else _closed(results)


def _described(results: Results) -> Results:
    silent = {name: [e.silent() for e in group] for name, group in results.estimates.items()}
    curve, items = results.curve, results.items
    if items is not None:
        items = replace(
            items,
            errors={},
            gains=_blank(items.gains, ("seed_se", "shared_se")),
            signal=_blank(items.signal, ("slope_seed_se", "signal", "noise", "ratio")),
        )
    return replace(
        results,
        estimates=silent,
        primary=results.primary.silent(),
        logit=results.logit.silent(),
        room=results.room.silent(),
        smallest=results.smallest.silent(),
        largest=results.largest.silent(),
        end=results.end.silent(),
        retention=(results.retention[0], float("nan"), float("nan")),
        gammas={name: e.silent() for name, e in results.gammas.items()},
        shapes=None,
        power=replace(results.power, detectable_interval=(float("nan"), float("nan"))),
        items=items,
        languages=_blank(results.languages, _LANGUAGES).with_columns(pl.lit("").alias("direction")),
        fit=_unknown(results.fit),
        doses=_blank(results.doses, ("low", "high")),
        pairs=_blank(results.pairs, ("low", "high")),
        means=_blank(results.means, ("low", "high")),
        collapse=_blank(results.collapse, ("low", "high")),
        collapse_trend={},
        specifications=_blank(results.specifications, ("low", "high", "sign")),
        treatments=[e.silent() for e in results.treatments],
        curve=replace(curve, exponent=None, exponent_low=None, exponent_high=None, identified=None),
        series=_blank(results.series, ("slope_low", "slope_high", "boot_low", "boot_high")),
        claims=[
            replace(c, status="not tested", low=float("nan"), high=float("nan"))
            if c.status != "not run"
            else c
            for c in results.claims
        ],
        crossover=None if results.crossover is None else _prices(results.crossover),
        # What one run shows in two languages is first of all its own noise.
        co_gains=None,
    )


def _prices(found: Crossover) -> Crossover:
    ends = ("low", "high", "price_low", "price_high")
    return replace(
        found, table=_blank(found.table, ends), curve=_blank(found.curve, ends), crossing=None
    )


def _closed(results: Results) -> Results:
    table = results.languages.with_columns(
        pl.lit(float("nan")).alias("q"),
        pl.when(pl.col("low_resource"))
        .then(pl.lit("not opened"))
        .otherwise(pl.lit(""))
        .alias("direction"),
    )
    return replace(
        results,
        languages=table,
        claims=[
            replace(c, status="not opened") if c.status not in ("not run", "not tested") else c
            for c in results.claims
        ],
    )


def _blank(table: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """`table` with numbers of `columns` as NaN, and whatever else is in them as null."""
    return table.with_columns(
        pl.lit(
            float("nan") if table.schema[name].is_float() else None, dtype=table.schema[name]
        ).alias(name)
        for name in columns
        if name in table.columns
    )


def _unknown(fit: Languages) -> Languages:
    known = ("slope",)
    names = [field.name for field in fields(Languages) if field.name not in known]
    return replace(fit, **{name: np.full_like(getattr(fit, name), np.nan) for name in names})
