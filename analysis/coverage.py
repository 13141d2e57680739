"""What the study has and what it lacks, counted before any estimate."""

from __future__ import annotations

import polars as pl

from analysis.gains import NONE, last_runs, scored
from analysis.load import BadInput

CELL = ["model", "arm", "target", "language", "seed"]


def coverage_table(
    frame: pl.DataFrame, gains: pl.DataFrame, expected: pl.DataFrame | None
) -> pl.DataFrame:
    """One row per (model, arm, target): scores expected and found, and why some do not count.

    Counts are (language, seed) pairs. `expected` (columns model, arm, target, language, seed) is
    the study's whole grid; without it every score that exists anywhere in the frame's own grid of
    languages and seeds of that target is expected. `unpaired`: found, but the baseline of the same
    seed is not.
    """
    rows = scored(frame)
    if expected is None:
        seeds = rows.filter(pl.col("arm") != NONE).select("target", "seed").unique()
        languages = rows.select("target", "language").unique()
        cells = (
            rows.select("model").unique().join(rows.select("arm", "target").unique(), how="cross")
        )
        expected = cells.join(languages, on="target").join(seeds, on="target")
    grid = expected.select(CELL).unique()
    found = rows.select(*CELL, "collapsed", "same_data", "floor", pl.lit(True).alias("found"))
    paired = gains.select(*CELL, pl.lit(True).alias("paired"))
    whole = (
        grid.with_columns(pl.lit(True).alias("expected"))
        .join(found, on=CELL, how="full", coalesce=True)
        .join(paired, on=CELL, how="left")
    )
    yes = [pl.col(name).fill_null(False) for name in ("expected", "found", "paired")]
    flags = [
        pl.col(name).fill_null(False).sum().alias(name)
        for name in ("collapsed", "same_data", "floor")
    ]
    wanted, got, has_pair = yes
    sizes = frame.select("model", "total_params").unique()
    return (
        whole.group_by("model", "arm", "target")
        .agg(
            wanted.sum().alias("expected"),
            got.sum().alias("found"),
            (wanted & ~got).sum().alias("missing"),
            (got & ~wanted).sum().alias("extra"),
            *flags,
            (got & ~has_pair & (pl.col("arm") != NONE)).sum().alias("unpaired"),
            pl.col("seed").filter(got).n_unique().alias("seeds"),
            pl.col("language").filter(got).n_unique().alias("languages"),
        )
        .join(sizes, on="model", how="left")
        .sort("arm", "target", "total_params", "model")
        .drop("total_params")
    )


def missing_cells(frame: pl.DataFrame, expected: pl.DataFrame | None) -> pl.DataFrame:
    """The expected (model, arm, target, seed) cells that lack some score.

    Column `languages`: in how many languages it lacks.
    """
    columns = ["model", "arm", "target", "seed"]
    if expected is None:
        return pl.DataFrame(
            schema={**{name: frame.schema[name] for name in columns}, "languages": pl.UInt32}
        )
    lacking = expected.select(CELL).unique().join(scored(frame).select(CELL), on=CELL, how="anti")
    return lacking.group_by(columns).agg(pl.len().cast(pl.UInt32).alias("languages")).sort(columns)


def shared_checkpoints(frame: pl.DataFrame) -> pl.DataFrame:
    """(model, arm) pairs whose seeds are not runs of their own.

    Several seeds there follow one phase ii, or are one scored checkpoint.

    Columns: model, arm, seeds, independent. Such an arm has one replicate, however many seeds
    follow it. A baseline that was not trained (no English dev score) has the same scores for all
    seeds by nature and is not meant.
    """
    trained = last_runs(frame).filter(
        (pl.col("intermediate_seed") >= 0) | pl.col("english_dev").is_not_null()
    )
    seeds = pl.col("seed").n_unique().alias("seeds")
    by_checkpoint = (
        trained.filter(pl.col("intermediate_seed") >= 0)
        .group_by("model", "arm")
        .agg(seeds, pl.col("intermediate_seed").n_unique().alias("independent"))
    )
    by_step = trained.group_by("model", "arm", "target").agg(
        seeds, pl.col("step").n_unique().alias("independent")
    )
    found = pl.concat([by_checkpoint, by_step.drop("target")]).filter(
        pl.col("independent") < pl.col("seeds")
    )
    return (
        found.group_by("model", "arm")
        .agg(pl.col("seeds").max(), pl.col("independent").min())
        .sort("model", "arm")
    )


def by_family(
    frame: pl.DataFrame, expected: pl.DataFrame | None
) -> list[tuple[str, pl.DataFrame, pl.DataFrame | None]]:
    """Name, rows and expected cells of each family and method: two of them never share a curve.

    The name is empty where there is one of each.
    """
    groups = frame.select("family", "method").unique().sort("family", "method").rows()
    if len(groups) == 1:
        return [("", frame, expected)]
    out = []
    for family, method in groups:
        part = frame.filter((pl.col("family") == family) & (pl.col("method") == method))
        of_part = pl.col("model").is_in(part["model"].unique().to_list())
        grid = None if expected is None else expected.filter(of_part)
        # The grid is of one study, and says nothing of a family that came from another store.
        known = grid is not None and len(grid) > 0
        out.append((f"{family}-{method}", part, grid if known else None))
    return out


def check_expected(expected: pl.DataFrame | None) -> None:
    """BadInput if the study's grid lacks a column."""
    lacking = [] if expected is None else [name for name in CELL if name not in expected.columns]
    if lacking:
        raise BadInput(f"The study's expected cells lack the columns {lacking}; they need {CELL}.")
