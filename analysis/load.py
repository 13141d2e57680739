"""Parquet of tidy rows → one checked frame.

Everything else in this package trusts what comes out of here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from analysis.gains import NONE, NOT_POOLED, POOLED_ROLES
from scaling.catalogue.languages import get_language
from scaling.spec import UserError
from scaling.store.records import TIDY_COLUMNS

KEY = (
    "family",
    "method",
    "model",
    "arm",
    "target",
    "language",
    "seed",
    "rerun",
    "split",
    "metric",
    "depth",
)
"""What one row is about. Two rows with equal keys must be the same record."""

_DTYPES: dict[str, pl.DataType] = {
    "str": pl.String(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
}
SCHEMA: dict[str, pl.DataType] = {
    name: _DTYPES[column.type] for name, column in TIDY_COLUMNS.items()
}
LATER = ("ceiling", "english_dev_n")
"""Columns that rows of older stores lack; they are read as unknown."""
NULLABLE = frozenset(name for name, column in TIDY_COLUMNS.items() if column.nullable)


class BadInput(UserError):
    """Records that cannot be analysed; the message names the rows or columns, and what is valid."""


def load_tidy(paths: Sequence[Path]) -> pl.DataFrame:
    """The rows of all Parquet files together, checked (`check_tidy`).

    A row that two stores both hold (same key, same step) is one row; BadInput names a file that is
    missing or is not Parquet.
    """
    if not paths:
        raise BadInput("No Parquet file was given: name at least one store or file of tidy rows.")
    frames = []
    for path in paths:
        if not path.is_file():
            raise BadInput(f"{path} is not a file.")
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.ComputeError, OSError) as error:
            raise BadInput(f"{path} cannot be read as Parquet: {error}") from error
        frames.append(_typed(frame, str(path)))
    return check_tidy(pl.concat(frames))


def check_tidy(frame: pl.DataFrame, place: str = "the rows") -> pl.DataFrame:
    """`frame` with the columns of TidyRow in a canonical order of rows, or BadInput.

    Checks columns, types, nulls, NaN, the 0..1 scale, languages, and keys: equal keys are allowed
    only where they are the same record seen twice (same step and value).
    """
    frame = _typed(frame, place)
    if frame.is_empty():
        raise BadInput(
            f"{place.capitalize()} hold no score: no step has finished yet, so there is nothing to"
            " report."
        )
    for name in TIDY_COLUMNS:
        missing = frame[name].is_null() if name not in NULLABLE else pl.Series([False])
        if missing.any():
            raise BadInput(f"Column {name!r} is empty in {_rows(frame.filter(missing))}.")
    for name in ("value", "chance", "ceiling", "english_dev"):
        bad = frame.filter(pl.col(name).is_nan() | pl.col(name).is_infinite())
        if len(bad):
            raise BadInput(
                f"Column {name!r} is NaN or infinite in {_rows(bad)}. A missing score is a missing"
                " row."
            )
        bad = frame.filter(~pl.col(name).is_between(0.0, 1.0))
        if len(bad):
            raise BadInput(
                f"Column {name!r} must lie in 0..1, but is {bad[name][0]:g} in {_rows(bad)}."
            )
    for name in ("n", "total_params", "backbone_params"):
        bad = frame.filter(pl.col(name) <= 0)
        if len(bad):
            raise BadInput(
                f"Column {name!r} must be positive, but is {bad[name][0]} in {_rows(bad)}."
            )
    # Rows of a store from before the ceiling was declared are on the same test set.
    frame = frame.with_columns(pl.coalesce("ceiling", pl.col("ceiling").max().over("target")))
    _check_bounds(frame)
    roles = (NONE, *POOLED_ROLES, *NOT_POOLED)
    bad = frame.filter(
        ~pl.col("role").is_in(roles) | ((pl.col("role") == NONE) != (pl.col("arm") == NONE))
    )
    if len(bad):
        raise BadInput(
            f"Column 'role' is {bad['role'][0]!r} in {_rows(bad)}. Valid roles: {', '.join(roles)}."
        )
    bad = frame.filter(~pl.col("split").is_in(["dev", "test"]))
    if len(bad):
        raise BadInput(
            f"Column 'split' must be 'dev' or 'test', but is {bad['split'][0]!r} in {_rows(bad)}."
        )
    _check_languages(frame)
    frame = frame.unique(subset=[*KEY, "step", "value"], keep="first", maintain_order=True)
    _check_keys(frame)
    _check_models(frame)
    return frame.sort(*KEY, "study")


def _with_depth(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows written before they had a depth, which stood in the metric's name (`mining@0.33_f1`)."""
    if "depth" in frame.columns or "metric" not in frame.columns:
        return frame
    return frame.with_columns(
        depth=pl.col("metric").str.extract(r"@([0-9.]+)").cast(pl.Float64),
        metric=pl.col("metric").str.replace(r"@[0-9.]+", ""),
    )


def _typed(frame: pl.DataFrame, place: str) -> pl.DataFrame:
    frame = _with_depth(frame)
    absent = [name for name in LATER if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, dtype=SCHEMA[name]).alias(name) for name in absent)
    missing = [name for name in TIDY_COLUMNS if name not in frame.columns]
    unknown = sorted(set(frame.columns) - set(TIDY_COLUMNS))
    if missing or unknown:
        parts = [
            f"lacks {missing}" if missing else "",
            f"has unknown columns {unknown}" if unknown else "",
        ]
        raise BadInput(
            f"{place} {' and '.join(filter(None, parts))}. Valid columns:"
            f" {', '.join(TIDY_COLUMNS)}."
        )
    for name, want in SCHEMA.items():
        have = frame.schema[name]
        fits = have == want or have == pl.Null or (want.is_numeric() and have.is_numeric())
        if not fits or (want.is_integer() and have.is_float()):
            raise BadInput(f"Column {name!r} of {place} is {have}, not {want}.")
    return frame.select(pl.col(name).cast(want) for name, want in SCHEMA.items())


def _check_bounds(frame: pl.DataFrame) -> None:
    """BadInput where chance leaves no room below the ceiling, or a score lies above it."""
    top = pl.col("ceiling").fill_null(1.0)
    main = pl.col("main") & (pl.col("split") == "test")
    bad = frame.filter(main & (pl.col("chance") >= top))
    if len(bad):
        raise BadInput(
            f"Column 'chance' is {bad['chance'][0]:g} in {_rows(bad)}, which is not below the"
            f" ceiling of {bad['ceiling'].fill_null(1.0)[0]:g}: guessing cannot be the best."
        )
    bad = frame.filter(main & (pl.col("value") > top + 1e-9))
    if len(bad):
        raise BadInput(
            f"Column 'ceiling' is {bad['ceiling'][0]:g} in {_rows(bad)}, but the score is"
            f" {bad['value'][0]:g}: declare a ceiling that no score exceeds, or none."
        )
    declared = (
        frame.filter(main)
        .group_by("target")
        .agg(pl.col("ceiling").drop_nulls().n_unique().alias("num"))
    )
    many = declared.filter(pl.col("num") > 1)["target"].sort()
    if len(many):
        raise BadInput(f"Target {many[0]!r} has rows that disagree about its ceiling.")


def _check_languages(frame: pl.DataFrame) -> None:
    for code in frame["language"].unique().sort():
        try:
            get_language(code)
        except ValueError as error:
            raise BadInput(
                f"{error} It is in {_rows(frame.filter(pl.col('language') == code))}."
            ) from error


def _check_keys(frame: pl.DataFrame) -> None:
    twice = frame.filter(pl.struct(KEY).is_duplicated()).sort(*KEY, "step")
    if len(twice):
        steps = twice["step"].unique().sort().to_list()[:4]
        raise BadInput(
            f"{len(twice)} rows share a key but are not the same record: {_rows(twice)}; steps"
            f" {steps}."
        )
    mains = (
        frame.filter(pl.col("main") & (pl.col("split") == "test"))
        .group_by("target")
        .agg(pl.col("metric").unique())
    )
    many = mains.filter(pl.col("metric").list.len() > 1).sort("target")
    if len(many):
        names = sorted(many["metric"][0])
        raise BadInput(
            f"Target {many['target'][0]!r} has {len(names)} main metrics {names}; one must be main."
        )


def _check_models(frame: pl.DataFrame) -> None:
    facts = ["family", "model_label", "total_params", "backbone_params"]
    sizes = (
        frame.group_by("model")
        .agg(pl.struct(facts).n_unique().alias("num"))
        .filter(pl.col("num") > 1)
    )
    if len(sizes):
        name = sizes["model"].sort()[0]
        raise BadInput(f"Model {name!r} has rows that disagree about {', '.join(facts)}.")


def _rows(frame: pl.DataFrame, most: int = 3) -> str:
    """The first few rows by their key, and how many there are."""
    shown = [
        "/".join(str(row[name]) for name in KEY[2:])
        for row in frame.select(KEY).unique(maintain_order=True).head(most).iter_rows(named=True)
    ]
    more = f" and {len(frame) - most} more" if len(frame) > most else ""
    return f"row{'s' if len(frame) > 1 else ''} {', '.join(shown)}{more} ({'/'.join(KEY[2:])})"
