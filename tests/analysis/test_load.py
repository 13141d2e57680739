"""Bad input gives one clear message; good input comes out the same whatever its order."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from analysis.load import BadInput, check_tidy, load_tidy
from tests.helpers.synthetic import study


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return study(
        models=("xlm-r-base", "xlm-r-large"),
        arms=("mnli",),
        targets={"panx": ("sw", "de")},
        seeds=2,
    )


BROKEN = {
    "unknown column": (
        lambda f: f.with_columns(pl.lit(1).alias("colour")),
        "unknown columns \\['colour'\\]",
    ),
    "lacking column": (lambda f: f.drop("arm"), "lacks \\['arm'\\]"),
    "text for a number": (
        lambda f: f.with_columns(pl.col("value").cast(pl.String)),
        "'value' of the rows is String",
    ),
    "float seed": (lambda f: f.with_columns(pl.col("seed").cast(pl.Float64)), "'seed'"),
    "NaN": (
        lambda f: f.with_columns(pl.lit(float("nan")).alias("value")),
        "NaN .* A missing score is a missing row",
    ),
    "points for shares": (lambda f: f.with_columns(pl.col("value") * 100), "must lie in 0..1"),
    "a ceiling below a score": (
        lambda f: f.with_columns(pl.lit(0.55).alias("ceiling")),
        "'ceiling' is 0.55 in row.* but the score is .*: declare a ceiling that no score exceeds",
    ),
    "a chance above the ceiling": (
        lambda f: f.with_columns(pl.lit(0.9).alias("chance"), pl.lit(0.85).alias("ceiling")),
        "'chance' is 0.9 in row.* not below the ceiling of 0.85: guessing cannot be the best",
    ),
    "two ceilings of a target": (
        lambda f: f.with_columns(
            pl.when(pl.col("language") == "sw").then(0.95).otherwise(0.9).alias("ceiling")
        ),
        "Target 'panx' has rows that disagree about its ceiling",
    ),
    "null": (
        lambda f: f.with_columns(pl.lit(None, dtype=pl.String).alias("step")),
        "'step' is empty",
    ),
    "no examples": (lambda f: f.with_columns(pl.lit(0).alias("n")), "'n' must be positive"),
    "unknown language": (
        lambda f: f.with_columns(pl.col("language").replace("sw", "swx")),
        "Unknown language 'swx'",
    ),
    "split": (lambda f: f.with_columns(pl.lit("train").alias("split")), "'dev' or 'test'"),
    "conflicting rows": (
        lambda f: pl.concat([f, f.head(1).with_columns(step=pl.lit("other"))]),
        "share a key",
    ),
    "two main metrics": (
        lambda f: pl.concat([f, f.head(1).with_columns(pl.lit("f1").alias("metric"))]),
        "2 main metrics",
    ),
    "one model, two sizes": (
        lambda f: (
            f.with_row_index()
            .with_columns(total_params=pl.col("total_params") + pl.col("index"))
            .drop("index")
        ),
        "disagree about",
    ),
    "nothing": (lambda f: f.head(0), "no score"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_rows_are_named(rows: pl.DataFrame, name: str) -> None:
    spoil, message = BROKEN[name]
    with pytest.raises(BadInput, match=message):
        check_tidy(spoil(rows))


def test_files(rows: pl.DataFrame, tmp_path: Path) -> None:
    rows.write_parquet(tmp_path / "a.parquet")
    # The same records in another store, in another order and with narrower integers, are the same
    # rows.
    rows.reverse().with_columns(pl.col("seed").cast(pl.Int16)).write_parquet(tmp_path / "b.parquet")
    assert load_tidy([tmp_path / "a.parquet", tmp_path / "b.parquet"]).equals(check_tidy(rows))
    with pytest.raises(BadInput, match="not a file"):
        load_tidy([tmp_path / "c.parquet"])
    (tmp_path / "c.parquet").write_text("no parquet")
    with pytest.raises(BadInput, match="cannot be read as Parquet"):
        load_tidy([tmp_path / "c.parquet"])
    with pytest.raises(BadInput, match="at least one"):
        load_tidy([])


def test_rows_without_a_depth_have_it_in_the_name_of_their_metric(rows: pl.DataFrame) -> None:
    swept = rows.with_columns(
        metric=pl.lit("mining_f1"), depth=pl.lit(0.33), main=pl.lit(False), step=pl.lit("other")
    )
    old = pl.concat([rows, swept.with_columns(metric=pl.lit("mining@0.33_f1"))]).drop("depth")
    assert check_tidy(old).equals(check_tidy(pl.concat([rows, swept])))


def test_rows_from_before_a_ceiling_was_declared_have_it_too(rows: pl.DataFrame) -> None:
    later = pl.when(pl.col("seed") == 1).then(0.95).alias("ceiling")
    assert check_tidy(rows.with_columns(later))["ceiling"].to_list() == [0.95] * len(rows)
