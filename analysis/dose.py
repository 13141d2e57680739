"""Dose and response: one intermediate task, trained for longer or on more.

Arms that train on the same task and differ in how much are doses of it; the dose is the FLOPs of
phase ii. Different tasks are never put on one axis: they differ in more than their size, so that a
trend over them says nothing of size. Inside a replica the gains of the arms share the baseline,
which cancels in the slope over doses.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.estimands import PRIMARY
from analysis.gains import NONE
from analysis.panel import make_panel, replicas
from analysis.slope import contrast, slope_weights

APART = 1.2
"""Doses that differ by less than this factor are one dose."""
SCHEMA = {
    "intermediate": pl.String,
    "model": pl.String,
    "label": pl.String,
    "arms": pl.String,
    "doses": pl.String,
    "slope": pl.Float64,
    "over_span": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "seeds": pl.Int64,
    "num_series": pl.Int64,
}


def dose_table(frame: pl.DataFrame, gains: pl.DataFrame, sizes: pl.DataFrame) -> pl.DataFrame:
    """Slope of the zero-shot gain per tenfold dose, one row per intermediate task and size.

    Over the target-language pairs that all doses have at the size, in points; 95 % intervals over
    replicas; `over_span` is the slope from the smallest to the largest dose. Empty where no task
    has two doses.

    Args:
        frame: Tidy rows, for the FLOPs.
        gains: Paired gains with facts about their languages.
        sizes: Of `size_table`.
    """
    flops = frame.group_by("model", "arm", "target").agg(pl.col("train_flops").mean())
    bare = flops.filter(pl.col("arm") == NONE).drop("arm").rename({"train_flops": "bare"})
    doses = (
        flops.join(bare, on=["model", "target"])
        .with_columns((pl.col("train_flops") - pl.col("bare")).alias("dose"))
        .group_by("model", "arm")
        .agg(pl.col("dose").sort().mean())
    )
    single = gains.filter(PRIMARY & (pl.col("role") == "single"))
    rows = []
    for task in single["intermediate"].unique().sort():
        of_task = single.filter(pl.col("intermediate") == task)
        for model, label in sizes.select("model", "label").iter_rows():
            part = of_task.filter(pl.col("model") == model)
            of_model = doses.filter((pl.col("model") == model) & (pl.col("dose") > 0))
            given = part.select("arm").unique().join(of_model, on="arm").sort("dose", "arm")
            if len(given) < 2 or given["dose"][-1] < APART * given["dose"][0]:
                continue
            row = _row(part, sizes, given)
            if row is not None:
                rows.append({"intermediate": task, "model": model, "label": label, **row})
    return pl.DataFrame(rows, schema=SCHEMA)


def _row(part: pl.DataFrame, sizes: pl.DataFrame, given: pl.DataFrame) -> dict[str, object] | None:
    """The slope over doses at one size."""
    arms = given["arm"].to_list()
    pair = ["target", "language"]
    whole = (
        part.filter(pl.col("arm").is_in(arms))
        .group_by(pair)
        .agg(pl.col("arm").n_unique().alias("num"))
        .filter(pl.col("num") == len(arms))
    )
    kept = part.filter(pl.col("arm").is_in(arms)).join(whole.select(pair), on=pair, how="semi")
    if kept.is_empty():
        return None
    panel = make_panel(kept, sizes, "points")
    i = panel.models.index(part["model"][0])
    w = slope_weights(np.log10(given["dose"].to_numpy()))
    by_arm = np.array([w[arms.index(arm)] for arm in panel.series["arm"]])
    # All arms have the same pairs, so that the weights of one arm's series sum to 1 / arms.
    r = replicas(panel.y[i : i + 1], panel.weights * len(arms) * by_arm)
    found = contrast(r, np.ones(1), panel.x[i : i + 1])
    low, high = (float(v) for v in found.interval())
    least = given["dose"][0]
    return {
        "arms": ", ".join(arms),
        "doses": " : ".join(f"{dose / least:.3g}" for dose in given["dose"]),
        "slope": float(found.estimate),
        "over_span": float(found.estimate) * float(np.log10(given["dose"][-1] / least)),
        "low": low,
        "high": high,
        "seeds": int(np.isfinite(r).sum()),
        "num_series": len(whole),
    }
