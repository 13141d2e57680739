"""Retrieval scores by depth: the sweep that scoring stores beside the main score, which is at the
recipe's depth.
"""

from __future__ import annotations

from typing import Any

import polars as pl


def depth_table(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A row per target, arm and model: mean main metric over zero-shot languages and seeds, points;
    [] without a sweep.

    `scores`: depth as in the metric's name (`accuracy@0.33` is at a third; '' is the recipe's own
    depth) → points.
    """
    test = frame.filter(
        (pl.col("split") == "test") & (pl.col("language") != "en") & ~pl.col("collapsed")
    )
    parts = test.with_columns(
        base=pl.col("metric").str.split("@").list.first(),
        depth=pl.col("metric").str.extract("@(.+)$").fill_null(""),
    )
    mains = parts.filter("main").select("target", "base").unique()
    swept = parts.filter(pl.col("depth") != "").join(mains, on=["target", "base"], how="semi")
    own = parts.filter("main").join(swept.select("target").unique(), on="target", how="semi")
    keys = ["target", "arm", "backbone_params", "model", "depth"]
    means = (
        pl.concat([own, swept])
        .group_by(keys)
        .agg((100 * pl.col("value").sort().mean()).alias("score"))
        .sort(keys)
    )
    table: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in means.iter_rows(named=True):
        names = {name: row[name] for name in ("target", "arm", "model")}
        table.setdefault(tuple(names.values()), {**names, "scores": {}})["scores"][row["depth"]] = (
            row["score"]
        )
    return list(table.values())
