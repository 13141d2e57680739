"""Tidy rows → paired gains.

A gain is the score with phase ii minus the score without it, everything else equal.
"""

from __future__ import annotations

import polars as pl

from scaling.catalogue.languages import get_language
from scaling.catalogue.resources import is_low, text_amount, text_unit, tier
from scaling.study.question import Question

NONE = "none"
ENGLISH = "en"
CELL = ["family", "method", "model", "arm", "target", "seed"]
PAIR = ["family", "method", "model", "target", "language", "seed", "metric"]

_OF_ROWS = (
    "model_label",
    "total_params",
    "backbone_params",
    "train_flops",
    "intermediate_seed",
    "depth",
    "english_dev_n",
    "wall_seconds",
    "dollars",
)
"""Columns of rows that no gain needs: of 600,000 gains they are a quarter of a gigabyte."""

_OF_SCORED = ("split", "main")
"""Columns that are the same in all scored rows."""

POOLED_ROLES = ("single", "sequence", "multitask")
NOT_POOLED = {
    "mlm-mix": "masked language modelling beside the English task",
    "mlm": "masked language modelling alone",
    "translated": "intermediate data in other languages",
    "pairwise": "trained together with the target",
    "adapted": "adapted to target languages first",
    "control": "a control",
}
"""Roles of arms that are no plain English intermediate training: shown and compared, never part of
the pooled gain.
"""

SCALES = {
    "points": "points",
    "logit": "log odds",
    "room": "log odds between chance and ceiling",
    "error": "% of the errors removed",
    "chance": "% of the room above chance",
}
"""The scales of a gain and their units; `points` is primary (statistics §1)."""
JUDGED = ("points", "logit", "room")
"""The scales that a verdict must survive. No scale is the right one: a gain that is constant on one
of them moves on the others, so that only what shows on all three is said about transfer."""


def last_runs(frame: pl.DataFrame) -> pl.DataFrame:
    """Of a cell that was run again because it collapsed, the last run.

    These are results given that training converged.
    """
    return frame.filter(pl.col("rerun") == pl.col("rerun").max().over(CELL))


def first_runs(frame: pl.DataFrame) -> pl.DataFrame:
    """First runs alone, whatever became of them.

    A cell whose phase ii was run again has none: nothing was paid to score what starts from a
    collapsed phase ii.
    """
    return frame.filter(pl.col("rerun") == 0)


def scored(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that a report may use, with a `floor` flag.

    They are the main metric on test data, of every cell's last run.

    `floor`: within two standard errors of guessing, the larger of the binomial errors at the score
    and at chance. A gain on such a cell says nothing about transfer.
    """
    value, chance, n = pl.col("value"), pl.col("chance"), pl.col("n")
    error = pl.max_horizontal(value * (1 - value), chance * (1 - chance)).truediv(n).sqrt()
    return (
        last_runs(frame)
        .filter(pl.col("main") & (pl.col("split") == "test"))
        .with_columns((value <= chance + 2 * error).alias("floor"))
    )


def pair_gains(frame: pl.DataFrame, *, extra: bool = True) -> pl.DataFrame:
    """One row per (model, arm, target, language, seed) for which both scores exist.

    `extra`: baselines of more seeds than an arm has count too (`_against`).

    Columns: the keys; `value` and `baseline` (0..1), and `against`, the baseline that the gain is
    over; `points` = 100·(value − against); `logit` on
    the scale of log odds, with p = (k + ½)/(n + 1) so that 0 and 1 stay finite; `room` = the same
    for the share of the way from chance to the ceiling (`room_gain`); `below_chance`: a score under
    chance was counted as chance there; `error` =
    100·(value − baseline)/(1 − baseline), the share of errors removed; `chance` = 100·(value −
    baseline)/(1 − chance); flags `collapsed`, `same_data`, `floor` (either side), `deterministic`
    (the baseline needed no training); `step` and `step_none`. A score of 100 without phase ii
    leaves no error to remove: `error` is null there.
    """
    rows = scored(frame.drop(_OF_ROWS)).drop(_OF_SCORED)
    baseline = rows.filter(pl.col("arm") == NONE).select(
        *PAIR,
        pl.col("value").alias("baseline"),
        pl.col("n").alias("n_none"),
        pl.col("collapsed").alias("collapsed_none"),
        pl.col("floor").alias("floor_none"),
        pl.col("step").alias("step_none"),
        pl.col("english_dev").alias("english_dev_none"),
    )
    pairs = rows.filter(pl.col("arm") != NONE).join(baseline, on=PAIR, how="inner")
    pairs = _against(pairs, baseline) if extra else pairs.with_columns(against=pl.col("baseline"))
    value, before, top = pl.col("value"), pl.col("against"), pl.col("ceiling").fill_null(1.0)
    return (
        pairs.with_columns(
            (100 * (value - before)).alias("points"),
            (_log_odds(value, "n") - _log_odds(before, "n_none")).alias("logit"),
            room_gain(top).alias("room"),
            (pl.min_horizontal(value, "baseline") < pl.col("chance")).alias("below_chance"),
            pl.when(before < 1).then(100 * (value - before) / (1 - before)).alias("error"),
            (100 * (value - before) / (1 - pl.col("chance"))).alias("chance_gain"),
            pl.col("chance").alias("chance_level"),
            (pl.col("collapsed") | pl.col("collapsed_none")).alias("collapsed"),
            (pl.col("floor") | pl.col("floor_none")).alias("floor"),
            pl.col("role").is_in(POOLED_ROLES).alias("pooled"),
        )
        .drop("chance")
        .rename({"chance_gain": "chance"})
        .sort("model", "arm", "target", "language", "seed")
    )


def _against(pairs: pl.DataFrame, baseline: pl.DataFrame) -> pl.DataFrame:
    """`pairs` with `against`: baselines moved to the mean of all healthy ones of the series.

    With S₀ baselines and S₁ < S₀ seeds of the arm, a gain is over b̄ + √(S₁/S₀)·(b − b̄₁): its mean
    over the arm's seeds is over the mean b̄ of all baselines, and its variance over S₁ is that of
    two independent samples, σ₁²/S₁ + σ₀²/S₀ (statistics §2.1), on the arm's degrees of freedom.
    Pairs with a collapsed run are left as they are.
    """
    series = [name for name in PAIR if name != "seed"]
    whole = (
        baseline.filter(~pl.col("collapsed_none"))
        .group_by(series)
        .agg(pl.col("baseline").sort().mean().alias("b_all"), pl.len().alias("num_all"))
    )
    healthy = ~(pl.col("collapsed") | pl.col("collapsed_none"))
    own, over = pl.col("baseline").filter(healthy), ["arm", *series]
    moved = pl.col("b_all") + (pl.col("num") / pl.col("num_all")).sqrt() * (
        pl.col("baseline") - pl.col("b_own")
    )
    return (
        pairs.join(whole, on=series, how="left")
        .with_columns(own.mean().over(over).alias("b_own"), healthy.sum().over(over).alias("num"))
        .with_columns(
            pl.when(healthy & (pl.col("num_all") > pl.col("num")))
            .then(moved.clip(0.0, 1.0))
            .otherwise("baseline")
            .alias("against")
        )
        .drop("b_all", "num_all", "b_own", "num")
    )


def room_gain(ceiling: pl.Expr, chance: str = "chance") -> pl.Expr:
    """The gain in log odds of q = (p − chance)/(ceiling − chance).

    Over columns value, n, against, n_none and `chance`; q outside 0..1 is clipped.

    Accuracy between guessing and label noise is a share q of examples that the model knows, so a
    constant effect on what is known moves neither at chance nor at the ceiling.
    """
    low = pl.col(chance)

    def share(name: str) -> pl.Expr:
        return ((pl.col(name) - low) / (ceiling - low)).clip(0.0, 1.0)

    return _log_odds(share("value"), "n") - _log_odds(share("against"), "n_none")


def _log_odds(share: pl.Expr, n: str) -> pl.Expr:
    count = share * pl.col(n)
    return ((count + 0.5) / (pl.col(n) - count + 0.5)).log()


def family_of(frame: pl.DataFrame, question: Question) -> str:
    """The family whose pretraining text counts: the question's, else that of the models."""
    if question.text_of is not None:
        return question.text_of
    return str(frame["family"][0]) if len(frame) else ""


def with_languages(frame: pl.DataFrame, question: Question) -> pl.DataFrame:
    """`frame`, of one family, with facts about its languages.

    Columns language_name, pretraining_text (the family's; null where it is not known), text_unit,
    joshi, tier, and `low` by the question's definition.
    """
    family = family_of(frame, question)
    codes = frame["language"].unique().sort().to_list()
    facts = [get_language(code) for code in codes]
    text = [text_amount(family, fact) for fact in facts]
    low = low_languages(codes, question, family)
    table = pl.DataFrame(
        {
            "language": codes,
            "language_name": [fact.name for fact in facts],
            "pretraining_text": text,
            "text_unit": [text_unit(family)] * len(codes),
            "joshi": [fact.joshi for fact in facts],
            "tier": [tier(family, fact) for fact in facts],
            "low": [code in low for code in codes],
        },
        schema={
            "language": pl.String,
            "language_name": pl.String,
            "pretraining_text": pl.Float64,
            "text_unit": pl.String,
            "joshi": pl.Int64,
            "tier": pl.String,
            "low": pl.Boolean,
        },
    )
    return frame.join(table, on="language", how="left")


def low_languages(codes: list[str], question: Question, family: str) -> frozenset[str]:
    """The low-resource languages among `codes` by the question; English never is one."""
    if question.low_resource_languages is not None:
        return frozenset(codes) & frozenset(question.low_resource_languages)
    return low_by(codes, question.low_resource, family)


def low_by(codes: list[str], definition: str, family: str) -> frozenset[str]:
    """Those of `codes` that are low-resource for a family by `cc100` or `joshi` (`is_low`)."""
    return frozenset(code for code in codes if is_low(family, get_language(code), definition))
