"""Retrieval scores by depth: the sweep that scoring stores beside the main score.

The main score is at the recipe's depth.
"""

from __future__ import annotations

from typing import Any

import polars as pl


def depth_table(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """A row per target, arm and model: mean main metric over zero-shot languages and seeds.

    `scores`: depth, as in `0.33` ('' for the recipe's own) → points. [] without a sweep.
    """
    needed = ["target", "arm", "backbone_params", "model", "depth", "metric", "main", "value"]
    rule = (pl.col("split") == "test") & (pl.col("language") != "en") & ~pl.col("collapsed")
    test = frame.lazy().filter(rule).select(needed).collect()
    parts = test.with_columns(
        depth=pl.col("depth").map_elements(lambda depth: f"{depth:.2g}", pl.String).fill_null("")
    )
    mains = parts.filter("main").select("target", "metric").unique()
    swept = parts.filter(pl.col("depth") != "").join(mains, on=["target", "metric"], how="semi")
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
