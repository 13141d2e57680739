"""Errors over draws of examples: equal to leaving each item out of the whole analysis by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.analyse import analyse
from analysis.estimands import PRIMARY, pooled
from analysis.examples import score_of
from analysis.gains import JUDGED, pair_gains, with_languages
from analysis.items import error_of
from analysis.load import BadInput, check_tidy
from analysis.panel import make_panel, size_table
from analysis.report import verdict_json
from analysis.results import Results
from analysis.sentences import headline, summary
from scaling.study.question import Question
from tests.helpers.items import study_with_outcomes

MODELS = ("xlm-r-base", "xlm-r-large", "xlm-r-xl")
TARGETS = {"xnli": ("sw", "te"), "panx": ("sw",)}
ARM = "squad1"
OPTIONS = Question(resamples=0)


def drawn(
    num: int = 60, *, luck: float = 1.0, seed: int = 0, counted: str = "", seeds: int = 3
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """A study whose items have a difficulty that all languages share, and a luck of their own with
    each arm and size that all seeds share.
    """
    rng = np.random.default_rng(seed)
    hard = {target: rng.normal(0, 1, num) for target in TARGETS}
    lucky = {(m, a): rng.normal(0, luck, num) for m in MODELS for a in ("none", ARM)}

    def got(row: dict[str, object]) -> np.ndarray:
        model, arm = str(row["model"]), str(row["arm"])
        level = 0.6 + 0.2 * MODELS.index(model) + (0.4 if arm != "none" else 0.0)
        latent = level - hard[str(row["target"])] + lucky[model, arm] + rng.normal(0, 1, num)
        right = (latent > 0).astype(float)
        gold = 1.0 + (np.arange(num) % 3)
        return np.stack([right * gold, gold + (1 - right), gold], axis=1) if counted else right

    return study_with_outcomes(
        got, targets=TARGETS, models=MODELS, arms=(ARM,), seeds=seeds, counted=counted
    )


def analysed(
    frame: pl.DataFrame, outcomes: dict[str, pl.DataFrame], question: Question = OPTIONS
) -> Results:
    return analyse(check_tidy(frame), question, outcomes=outcomes.get)


def without(
    frame: pl.DataFrame, outcomes: dict[str, pl.DataFrame], target: str, name: str
) -> pl.DataFrame:
    """The rows as they would be without one item of a target, in all its languages."""
    rows = []
    for row in frame.iter_rows(named=True):
        if row["target"] == target:
            left = outcomes[row["step"]].filter(
                (pl.col("key") == f"test.{row['language']}") & (pl.col("id") != name)
            )
            if "accuracy" in left.columns:
                value = left["accuracy"].mean()
            else:
                c, p, g = (left[f"span_{part}"].sum() for part in ("correct", "predicted", "gold"))
                value = 2 * c / (p + g) if c else 0.0
            row = {**row, "value": value, "n": len(left)}
        rows.append(row)
    return pl.DataFrame(rows, schema=frame.schema)


@pytest.mark.parametrize("counted", ["", "span"])
def test_the_error_is_that_of_leaving_each_item_out(counted: str) -> None:
    num = 24
    frame, outcomes = drawn(num, counted=counted)
    whole = analysed(frame, outcomes)
    assert whole.items is not None
    sizes = size_table(frame, "total_params")
    variance = dict.fromkeys(("points",) if counted else JUDGED, 0.0)
    for target in TARGETS:
        slopes = {scale: [] for scale in variance}
        for k in range(num):
            left = with_languages(pair_gains(without(frame, outcomes, target, f"i{k}")), OPTIONS)
            for scale, one in slopes.items():
                panel = make_panel(left.filter(PRIMARY), sizes, scale)
                one.append(pooled(panel, pl.col("low"), "low-resource", scale)[0].estimate)
        for scale, one in slopes.items():
            variance[scale] += (num - 1) / num * ((np.array(one) - np.mean(one)) ** 2).sum()
    for scale, found in variance.items():
        error = whole.items.of(scale, "slope")
        assert error is not None
        near = 1e-6 if scale == "points" else 0.12
        assert error.se == pytest.approx(float(np.sqrt(found)), rel=near)


def test_every_gain_has_its_paired_error() -> None:
    frame, outcomes = drawn(80)
    items = analysed(frame, outcomes).items
    assert items is not None
    row = items.gains.row(0, named=True)
    key = {name: row[name] for name in ("model", "target", "language")}
    each = []
    for seed in range(3):
        both = [
            outcomes[
                frame.filter(
                    *(pl.col(name) == value for name, value in key.items()),
                    pl.col("arm") == arm,
                    pl.col("seed") == seed,
                )["step"][0]
            ].filter(pl.col("key") == f"test.{row['language']}")["accuracy"]
            for arm in (row["arm"], "none")
        ]
        each.append((both[0] - both[1]).to_numpy())
    mean = 100 * np.mean(each, axis=0)
    assert row["points"] == pytest.approx(mean.mean())
    assert row["item_se"] == pytest.approx(mean.std(ddof=1) / np.sqrt(len(mean)))
    assert row["discordant"] == pytest.approx(np.mean([np.abs(one).sum() for one in each]))
    assert row["seed_se"] == pytest.approx(
        np.std([100 * one.mean() for one in each], ddof=1) / np.sqrt(3)
    )
    assert len(items.gains) == 3 * 3
    assert set(items.signal["target"]) == set(TARGETS)


def test_too_few_that_differ_are_said_to_be_too_few() -> None:
    frame, outcomes = drawn(12, luck=0.1)
    found = analysed(frame, outcomes)
    assert found.items is not None
    few = found.items.gains.filter(pl.col("discordant") < 8)
    assert len(few)
    assert set(few["note"]) == {"too few"}
    assert few["item_se"].is_nan().all()


def test_the_order_of_examples_does_not_matter() -> None:
    frame, outcomes = drawn()
    mixed = {
        step: table.sample(fraction=1.0, shuffle=True, seed=k)
        for k, (step, table) in enumerate(outcomes.items())
    }
    one, two = analysed(frame, outcomes).items, analysed(frame, mixed).items
    assert one is not None and two is not None
    assert one.errors.keys() == two.errors.keys() and one.errors
    for key, error in one.errors.items():
        assert two.errors[key].se == pytest.approx(error.se)


def test_such_examples_widen_the_verdict_and_these_do_not() -> None:
    frame, outcomes = drawn(60, luck=2.0)
    these = analysed(frame, outcomes)
    such = analysed(frame, outcomes, Question(resamples=0, examples="such"))
    bare = analyse(check_tidy(frame), OPTIONS)
    assert these.primary == bare.primary
    for name in ("primary", "logit", "room", "smallest", "largest", "end"):
        before, after = getattr(these, name), getattr(such, name)
        assert after.estimate == before.estimate
        assert after.high - after.low > 1.2 * (before.high - before.low)
        assert after.p > before.p
    assert "such examples" in " ".join(summary(such))
    assert verdict_json(these)["examples"]["estimand"] == "on these examples"


def test_a_question_about_such_examples_needs_their_outcomes() -> None:
    frame, outcomes = drawn()
    such = Question(resamples=0, examples="such")
    outcomes.pop(next(iter(outcomes)))
    for found in (analyse(check_tidy(frame), such), analysed(frame, outcomes, such)):
        assert found.verdict.call is None
        assert "lack their per-example outcomes" in found.verdict.reasons[0]
        assert np.isnan(found.primary.low)
        assert "nothing says what other test examples would show" in headline(found)
    these = analysed(frame, outcomes)
    assert these.verdict.call is not None
    assert "lack the outcomes of their examples" in " ".join(summary(these))


def altered(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.lit(1.0).alias("accuracy"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (altered, "do not belong to its rows: accuracy of"),
        (lambda t: t.filter(pl.col("id") != "i3"), "of other examples in 'sw' .* 59 here, 60"),
        (lambda t: t.with_columns(pl.col("id") + "x"), "are of other examples"),
        (lambda t: t.filter(pl.col("key") == "test.te"), "they have no 'sw'"),
        (lambda t: t.rename({"accuracy": "f1"}), "they hold no 'accuracy', only f1"),
        (lambda t: t.drop("id"), "lack the columns"),
    ],
)
def test_outcomes_of_something_else_are_refused(change, says: str) -> None:  # type: ignore[no-untyped-def]
    frame, outcomes = drawn()
    step = frame.filter((pl.col("target") == "xnli") & (pl.col("arm") == ARM))["step"][-1]
    with pytest.raises(BadInput, match=says) as refused:
        analysed(frame, {**outcomes, step: change(outcomes[step])})
    assert step in str(refused.value)
    assert "\n" not in str(refused.value)


def test_f1_of_counts_is_that_of_the_totals() -> None:
    table = pl.DataFrame(
        {
            "key": ["test.sw"] * 3,
            "id": ["a", "b", "a"],
            "span_correct": [1.0, 0.0, 2.0],
            "span_predicted": [2.0, 1.0, 2.0],
            "span_gold": [1.0, 1.0, 3.0],
        }
    )
    found = score_of(table, "span_f1", "s")
    assert found.value == pytest.approx(0.6)
    assert len(set(found.ids)) == 3
    left = np.array([2 * 2 / 7, 2 * 3 / 8, 2 * 1 / 5])
    np.testing.assert_allclose(found.influence, 2 * (left.mean() - left))
    assert error_of(found.influence / 3, 0.0).se == pytest.approx(
        np.sqrt(2 / 3 * ((left - left.mean()) ** 2).sum())
    )
