"""Published per-language numbers beside a study.

Facts of other papers, never part of an estimate.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

TABLE = Path(__file__).parent / "published" / "scores_by_size.csv"


def published() -> pl.DataFrame:
    """Scores by size that other papers print, 0..100.

    Columns source, model, target, language, metric, setting (`zero_shot`, `translate_train_all`),
    value.
    """
    return pl.read_csv(TABLE)


def overlay(frame: pl.DataFrame) -> pl.DataFrame:
    """Zero-shot scores without phase ii of this study beside published ones.

    They are of the same model, target and language.

    Columns model, target, language, here (mean over seeds, 0..100), published, difference, source.
    Recipes and model selection differ between papers: a check of order of magnitude.
    """
    own = (
        frame.filter(
            (pl.col("arm") == "none")
            & pl.col("main")
            & (pl.col("split") == "test")
            & ~pl.col("collapsed")
        )
        .group_by("model", "target", "language")
        .agg((100 * pl.col("value").sort().mean()).alias("here"))
    )
    facts = published().filter(pl.col("setting") == "zero_shot").rename({"value": "published"})
    return (
        own.join(facts, on=["model", "target", "language"])
        .with_columns((pl.col("here") - pl.col("published")).alias("difference"))
        .select("model", "target", "language", "here", "published", "difference", "source")
        .sort("target", "model", "language")
    )
