"""Errors over draws of test examples against examples that are drawn anew (`make
bench-calibration`).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.special import ndtr

from analysis.examples import score_of
from analysis.items import error_of, own_error
from analysis.panel import Array
from analysis.slope import slope, slope_weights
from benchmarks.rates import Row, mutation, rate
from benchmarks.simulated import X

STUDIES = 1000
SEEDS = 3


def items() -> list[Row]:
    """Errors over draws of examples: of one gain, of an F1, and of a slope."""
    return [*_single_gains(), *_counted(), *_slopes()]


def _single_gains() -> list[Row]:
    """One gain of one run: items are redrawn, the two models stay."""
    rows = []
    for num, expected, share in (
        (40, 8, 0.5),
        (100, 8, 0.65),
        (100, 12, 0.8),
        (500, 8, 0.5),
        (500, 20, 0.65),
        (2000, 100, 0.7),
    ):
        rng = np.random.default_rng([20, num, expected])
        up, down = expected * share / num, expected * (1 - share) / num
        truth, hits, few = up - down, [], 0
        for _ in range(4 * STUDIES):
            u = rng.random(num)
            d = (u < up) * 1.0 - (u > 1 - down)
            if (d != 0).sum() < 8:
                few += 1
                continue
            error = error_of((d - d.mean()) / num, 0.0)
            hits.append(abs(d.mean() - truth) <= error.quantile(0.95) * error.se)
        rows.append(
            rate(
                f"items redrawn: coverage of a gain, {num} items, {expected} expected to differ,"
                f" {100 * share:.0f} % of them up ({few} of {4 * STUDIES} too few)",
                "93–97 %",
                float(np.mean(hits)),
                0.93,
                0.97,
                len(hits),
            )
        )
    return rows


def _counted() -> list[Row]:
    """The F1 of counts of spans: sentences are redrawn, its error is the jackknife's."""
    rows, stem = [], ("correct", "predicted", "gold")
    for num in (60, 300):
        rng = np.random.default_rng([21, num])

        def sentences(rng: np.random.Generator, size: int) -> dict[str, Array]:
            gold = rng.poisson(2.0, size).astype(float)
            hard = rng.beta(2, 2, size)
            out = {}
            for name, skill in (("none", 0.5), ("arm", 0.6)):
                right = rng.binomial(gold.astype(int), np.clip(skill + 0.4 * (hard - 0.5), 0, 1))
                out[name] = np.stack([right, right + rng.poisson(0.7, size), gold], axis=1)
            return out

        many = sentences(rng, 2_000_000)
        f1 = {k: 2 * v[:, 0].sum() / v[:, 1:].sum() for k, v in many.items()}
        truth = 100 * (f1["arm"] - f1["none"])
        hits = []
        for _ in range(2 * STUDIES):
            drawn = sentences(rng, num)
            scores = {
                name: score_of(
                    pl.DataFrame(
                        {
                            "key": ["test.sw"] * num,
                            "id": [str(k) for k in range(num)],
                            **{f"span_{part}": c for part, c in zip(stem, got.T, strict=True)},
                        }
                    ),
                    "span_f1",
                    "s",
                )
                for name, got in drawn.items()
            }
            gain = 100 * (scores["arm"].value - scores["none"].value)
            c = 100 * (scores["arm"].influence - scores["none"].influence) / num
            error = error_of(c, 0.0)
            hits.append(abs(gain - truth) <= error.quantile(0.95) * error.se)
        rows.append(
            rate(
                f"items redrawn: coverage of a gain in F1 (jackknife), {num} sentences",
                "93–97 %",
                float(np.mean(hits)),
                0.93,
                0.97,
                len(hits),
            )
        )
    return rows


def _slopes() -> list[Row]:
    """A slope over four sizes, three seeds and two parallel languages: on these runs with other
    items, and with other runs and other items.
    """
    rows: list[Row] = []
    w = slope_weights(X)
    for num, luck in ((40, 1.0), (500, 2.5), (2000, 1.0), (500, 0.0)):
        rng = np.random.default_rng([22, num, int(luck)])
        studies = STUDIES if num < 2000 else 400
        fixed, apart, seeds_alone, such, added = [], [], [], [], []
        for _ in range(studies):
            right, truth_runs, truth = _drawn(rng, num, luck)
            # d[size, seed, language, item], points
            d = 100 * (right[1] - right[0])
            mean = d.mean(axis=1)
            centred = (mean - mean.mean(axis=-1, keepdims=True)) / num
            spread = d - mean[:, None]
            spread = (spread - spread.mean(axis=-1, keepdims=True)) / num
            c = np.einsum("i,ilk->lk", w, centred) / 2
            error = error_of(c.sum(axis=0), own_error(spread.mean(axis=2), w))
            split = error_of(c.ravel(), 0.0)
            r = d.mean(axis=(2, 3))
            whole = slope(r, X)
            estimate = float(whole.estimate)
            fixed.append(abs(estimate - truth_runs) <= error.half())
            apart.append(abs(estimate - truth_runs) <= split.half())
            half = float(whole.half())
            seeds_alone.append(abs(estimate - truth) <= half)
            such.append(
                abs(estimate - truth) <= np.hypot(half, error.quantile(0.95) * error.shared)
            )
            added.append(abs(estimate - truth) <= np.hypot(half, error.quantile(0.95) * error.se))
        where = f"{num} items, item luck {luck:g}"
        rows += [
            rate(
                f"items redrawn: coverage of the slope, runs fixed, {where}",
                "93–97 %",
                float(np.mean(fixed)),
                0.93,
                0.97,
                studies,
            ),
            rate(
                f"slope on such examples: runs and items redrawn, {where}",
                "93–98.5 %",
                float(np.mean(such)),
                0.93,
                0.985,
                studies,
            ),
            {
                "figure": f"both errors added whole (noise of single runs twice), {where}",
                "target": "reported",
                "value": f"{100 * np.mean(added):.1f} % of {studies:,}",
                "met": True,
            },
        ]
        if luck > 1:
            alone, drawn_apart = float(np.mean(seeds_alone)), float(np.mean(apart))
            rows.append(
                mutation(f"seeds alone for such examples, {where}", alone, 0.93, 1, studies)
            )
            rows.append(
                mutation(
                    f"languages of a parallel set as drawn apart, {where}",
                    drawn_apart,
                    0.93,
                    0.97,
                    studies,
                )
            )
    return rows


def _drawn(rng: np.random.Generator, num: int, luck: float) -> tuple[Array, float, float]:
    """right[arm, size, seed, language, item], the slope of these runs over all items, and that of
    all runs over all items; points per tenfold.

    An item has a difficulty, and luck with each arm and size that all seeds and both languages
    share; a run has a level of its own. Probit, so that what all items would show is known.
    """
    level = np.array([0.3, 0.5, 0.8, 1.0])
    centre = np.stack([level, level + 0.25])
    sd_run, sd_own = 0.06, 1.0
    run = centre[:, :, None] + rng.normal(0, sd_run, (2, 4, SEEDS))
    hard = rng.normal(0, 0.7, num)
    lucky = rng.normal(0, luck, (2, 4, 1, 1, num)) if luck else 0.0
    noise = rng.normal(0, sd_own, (2, 4, SEEDS, 2, num))
    right = (run[..., None, None] - hard + lucky + noise > 0).astype(float)
    width = np.sqrt(0.7**2 + luck**2 + sd_own**2)
    w = slope_weights(X)

    def over_all(p: Array) -> float:
        return float(100 * w @ (p[1] - p[0]))

    return (
        right,
        over_all(ndtr(run / width).mean(axis=-1)),
        over_all(ndtr(centre / np.sqrt(width**2 + sd_run**2))),
    )
