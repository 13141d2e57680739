"""The plain table that every paper prints first: scores by model, target and arm."""

from __future__ import annotations

import polars as pl

from analysis.collapse import label_runs
from analysis.gains import ENGLISH, NONE, scored
from analysis.published import published

KEY = ["model", "target", "arm"]


def score_table(frame: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """One row per (target, arm, model): mean scores, 0..100, of runs that did not collapse.

    Columns target, arm, model, label; zero_shot (mean over seeds of each language other than
    English, then over languages) and its languages and seeds; english; metric; published (what
    others print for the same mean, where they print all of its languages, without phase ii).

    Args:
        frame: Rows of TidyRow with collapse judged.
        sizes: Columns model and label, smallest size first.
    """
    english = pl.col("language") == ENGLISH
    each = (
        scored(frame)
        .filter(~pl.col("collapsed"))
        .group_by(*KEY, "metric", "language")
        .agg(
            (100 * pl.col("value").sort().mean()).alias("score"),
            pl.col("seed").n_unique().alias("seeds"),
        )
        .sort(*KEY, "language")
    )
    order = sizes.select("model", "label").with_row_index("place")
    return (
        each.group_by(*KEY, "metric")
        .agg(
            pl.col("score").filter(~english).mean().alias("zero_shot"),
            pl.col("language").filter(~english).n_unique().alias("languages"),
            pl.col("seeds").max(),
            pl.col("score").filter(english).first().alias("english"),
        )
        .join(_printed(each.filter(~english)), on=KEY, how="left")
        .join(order, on="model")
        .with_columns((pl.col("arm") != NONE).alias("with"))
        .sort("target", "with", "arm", "place")
        .select(
            "target",
            "arm",
            "model",
            "label",
            "metric",
            "zero_shot",
            "languages",
            "seeds",
            "english",
            pl.col("published").fill_null(""),
        )
    )


def early_scores(frame: pl.DataFrame, gains: pl.DataFrame) -> pl.DataFrame:
    """`score_table` of any number of sizes, with `gain`: points over none, where both exist.

    The gain is over the languages and seeds that both arms have by now, collapsed runs left out: a
    mean to look at, without interval or test.

    Args:
        frame: Rows of TidyRow.
        gains: Of `pair_gains`.
    """
    sizes = (
        frame.group_by("model")
        .agg(pl.col("model_label").sort().first().alias("label"), pl.col("total_params").first())
        .sort("total_params", "model")
    )
    mean = (
        gains.filter(~pl.col("collapsed") & (pl.col("language") != ENGLISH))
        .group_by(*KEY, "language")
        .agg(pl.col("points").sort().mean())
        .group_by(KEY)
        .agg(pl.col("points").sort().mean().alias("gain"))
    )
    found = score_table(label_runs(frame), sizes)
    return found.join(mean, on=KEY, how="left", maintain_order="left")


def _printed(each: pl.DataFrame) -> pl.DataFrame:
    """KEY and published means with their sources, of means whose languages are all printed."""
    facts = published().filter(pl.col("setting") == "zero_shot")
    plain = each.filter(pl.col("arm") == NONE)
    wanted = plain.group_by(*KEY).agg(pl.len().alias("wanted"))
    return (
        plain.join(
            facts.select("model", "target", "language", "source", pl.col("value").alias("theirs")),
            on=["model", "target", "language"],
        )
        .group_by(*KEY, "source")
        .agg(pl.col("theirs").sort().mean(), pl.len().alias("found"))
        .join(wanted, on=KEY)
        .filter(pl.col("found") == pl.col("wanted"))
        .sort(*KEY, "source")
        .group_by(KEY, maintain_order=True)
        .agg(
            pl.format("{} ({})", pl.col("theirs").round(1), "source")
            .str.join("; ")
            .alias("published")
        )
    )
