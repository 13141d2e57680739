"""Parts of `benchmarks.calibration`: verdict power, crossover, co-gains, baselines."""

from __future__ import annotations

import time

import numpy as np
import polars as pl

from analysis.cogain import co_gains
from analysis.crossover import along
from analysis.gains import JUDGED, room_gain
from analysis.margins import scale_margins
from analysis.panel import Panel
from analysis.power import Ledger
from analysis.rehearsal import PATHS, Design, Target, rehearse, smallest_change
from analysis.slope import equivalent, slope
from benchmarks import simulated
from benchmarks.rates import Row, rate
from benchmarks.simulated import SPAN, Array, X
from scaling.study.question import Question

DESIGN = Design(
    params={name: 10**x for name, x in zip("abcd", X, strict=True)},
    seeds=(3, 3, 3, 3),
    arms=3,
    targets=tuple(
        Target(name=name, languages=("sw", "te", "mr", "yo"), chance=chance, num_examples=1000)
        for name, chance in (("a", 1 / 3), ("b", 0.0), ("c", 0.5))
    ),
)


def verdict_power() -> list[Row]:
    """The verdict where the truth holds on all three scales, and the smallest fall it sees."""
    rows: list[Row] = []
    question, quiet = Question(), Ledger()
    start = time.perf_counter()
    for change, form in ((-4.0, "DIMINISHES"), (4.0, "GROWS")):
        found = rehearse(DESIGN, quiet, question, change=change, baselines="flat", studies=200)
        share = found.forms.get(form, 0.0)
        figure = f"{form} at {change:+g} points end to end, flat baselines"
        rows.append(rate(figure, "≥ 80 %", share, 0.8, 1, 200))
    taken = (time.perf_counter() - start) / 2
    rows.append(
        {
            "figure": "scaling power: 200 simulated studies of a line",
            "target": "≤ 180 s",
            "value": f"{taken:.0f} s",
            "met": taken <= 180,
        }
    )
    for path in PATHS:
        least = smallest_change(DESIGN, quiet, question, baselines=path, studies=50)
        rows.append(
            {
                "figure": f"smallest fall called DIMINISHES in 80 %, {path} baselines, points",
                "target": "reported",
                "value": f"{least.at:.2f} ({least.low:g} to {least.high:g})",
                "met": True,
            }
        )
    return rows


def on_scales(
    after: Array, before: Array, chance: float, ceiling: float, n: int
) -> dict[str, Array]:
    """Gains on the three scales, averaged over languages: [study, size, seed]."""
    frame = pl.DataFrame(
        {"value": after.ravel(), "against": before.ravel(), "n": n, "n_none": n}
    ).with_columns(pl.lit(chance).alias("chance"), pl.lit(0.0).alias("none"))
    found = frame.select(
        (100 * (pl.col("value") - pl.col("against"))).alias("points"),
        room_gain(pl.lit(1.0), "none").alias("logit"),
        room_gain(pl.lit(ceiling)).alias("room"),
    )
    return {
        name: found[name].to_numpy().reshape(after.shape).mean(axis=-1) for name in found.columns
    }


def equivalence_power() -> list[Row]:
    """EQUIVALENT at no change on any scale, against the test in points with one variance."""
    rng = np.random.default_rng(21)
    after, before = simulated.scores(
        rng,
        1000,
        3,
        0.22,
        scale="points",
        gains=np.full(4, 2.0),
        baselines=np.full(4, 0.6),
        chance=1 / 3,
        ceiling=1.0,
        examples=100_000,
    )
    frame = pl.DataFrame({"baseline": [0.6], "chance_level": [1 / 3], "ceiling": [None]})
    margins = scale_margins(
        frame.with_columns(pl.col("ceiling").cast(pl.Float64)), Question().margin, SPAN
    )
    found = {name: slope(r, X) for name, r in on_scales(after, before, 1 / 3, 1.0, 100_000).items()}
    every = np.all([equivalent(found[name], margins[name]) for name in JUDGED], axis=0)
    one = equivalent(found["points"].equal_variances(), margins["points"])
    ratio = float(every.mean() / one.mean())
    return [
        {
            "figure": "EQUIVALENT at no change on any scale, of points with one variance"
            f" ({one.mean():.0%})",
            "target": "≥ 0.75 ×",
            "value": f"{ratio:.2f} × ({every.mean():.0%})",
            "met": ratio >= 0.75,
        }
    ]


def views() -> list[Row]:
    """The crossover's interval, what is shown of pure noise, and baselines of more seeds."""
    rows: list[Row] = []
    for seeds, ratio in (((3, 3, 3, 3), 1.0), ((5, 5, 3, 2), 2.0)):
        rng = np.random.default_rng([22, seeds[-1]])
        r = simulated.replicas(rng, 1000, seeds, 0.5 * simulated.rising(ratio), beta=-4.0)
        zero = X.mean() + 0.5
        at = np.linspace(X[0], X[-1], 61)
        inside = []
        for one in r:
            _, (low, high) = along(one, X, at)
            worth = [max(at[end > 0], default=-np.inf) for end in (low, high)]
            step = at[1] - at[0]
            last = np.inf if high[-1] > 0 else worth[1] + step
            inside.append(worth[0] <= zero <= last)
        name = " ".join(map(str, seeds))
        share = float(np.mean(inside))
        rows.append(
            rate(
                f"coverage of the crossover, seeds {name}, SD ratio {ratio:g}",
                "≥ 93 %",
                share,
                0.93,
                1,
                1000,
            )
        )
    shown = sum(co_gains(_noise(seed)) is not None for seed in range(300)) / 300
    rows.append(
        rate("co-gains shown where nothing is but noise of runs", "≤ 6 %", shown, 0, 0.06, 300)
    )
    for correlation in (0.0, 0.3):
        rng = np.random.default_rng([23, int(10 * correlation)])
        base = rng.standard_normal((4000, 4, 9))
        own = rng.standard_normal((4000, 4, 3))
        after = correlation * base[..., :3] + np.sqrt(1 - correlation**2) * own
        paired = base[..., :3] - base[..., :3].mean(axis=-1, keepdims=True)
        against = base.mean(axis=-1, keepdims=True) + np.sqrt(3 / 9) * paired
        found = slope(after - against, X)
        hit = float((np.abs(found.estimate) <= found.half()).mean())
        rows.append(
            rate(
                f"coverage with 9 baseline and 3 arm seeds, correlation {correlation:g}",
                "93–98.5 %",
                hit,
                0.93,
                0.985,
                4000,
            )
        )
    return rows


def _noise(seed: int) -> Panel:
    """Four languages that share all noise of a run: two targets, five arms, four seeds, no gain."""
    rng = np.random.default_rng([24, seed])
    codes = ("sw", "yo", "te", "ta")
    series = [(f"a{i}", f"t{j}", code) for i in range(5) for j in range(2) for code in codes]
    return Panel(
        models=tuple("abcd"),
        labels=tuple("abcd"),
        x=X,
        seeds=(0, 1, 2, 3),
        series=pl.DataFrame(
            series, schema=["arm", "target", "language"], orient="row"
        ).with_columns(language_name=pl.col("language"), pretraining_text=pl.lit(1.0)),
        y=np.repeat(rng.standard_normal((4, 4, 10)), 4, axis=2),
    )


PARTS = (verdict_power, equivalence_power, views)
