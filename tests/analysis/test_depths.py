"""The sweep over depths: means of the right rows, beside the recipe's own, and nothing where
nothing was swept.
"""

from __future__ import annotations

import polars as pl
import pytest

from analysis.depths import depth_table
from analysis.load import check_tidy
from tests.helpers.synthetic import study


def test_depths_stand_beside_the_recipes_own() -> None:
    plain = study(
        models=("xlm-r-base", "xlm-r-large"), targets={"xnli": ("en", "sw", "de")}, seeds=1
    )
    assert depth_table(plain) == []
    swept = plain.with_columns(
        depth=pl.lit(0.33),
        main=pl.lit(False),
        value=pl.col("value") / 2,
        step=pl.col("step") + "x",
    )
    noise = plain.with_columns(
        metric=pl.lit("other"), depth=pl.lit(0.33), main=pl.lit(False), value=pl.lit(0.9)
    )
    table = depth_table(check_tidy(pl.concat([plain, swept, noise])))
    assert len(table) == plain.select("arm", "model").n_unique()
    for row in table:
        assert set(row["scores"]) == {"", "0.33"}
        assert row["scores"]["0.33"] == pytest.approx(row["scores"][""] / 2)
        own = plain.filter(
            (pl.col("arm") == row["arm"])
            & (pl.col("model") == row["model"])
            & (pl.col("language") != "en")
        )["value"].mean()
        assert isinstance(own, float) and row["scores"][""] == pytest.approx(100 * own)
