"""More conditions of `make bench-calibration`: those of the audit, and rules taken out.

Generators are those of `benchmarks.simulated`, or arrays made here; no rule makes data.
"""

from __future__ import annotations

import numpy as np
import polars as pl

import analysis.analyse
from analysis.claims import Checked, Claim, Expectation, Selection, holm, judge
from analysis.curves import exponent_interval
from analysis.estimands import interaction, interaction_of_a_sample, interaction_sign
from analysis.generalise import sampled
from analysis.influence import is_robust
from analysis.load import check_tidy
from analysis.meta import combine
from analysis.panel import Array, Panel, replicas
from analysis.sensitivity import size_means_slope
from analysis.slope import contrast, slope, slope_weights, t_quantile
from benchmarks import simulated
from benchmarks.rates import Row, mutation, rate
from benchmarks.simulated import X, rising
from scaling.study.question import Question
from tests.helpers.synthetic import study

STUDIES = 1000
SEEDS = 3


def exponents() -> list[Row]:
    """The exponent of a saturating curve: quoted although wrong, and covered."""
    rows, num, langs = [], 400, 10
    for b in (0.5, 1.0):
        for icc in (0.0, 0.25, 0.5):
            rng = np.random.default_rng([30, int(10 * b), int(100 * icc)])
            covered_by, quoted_wrong, as_rows = [], [], []
            for k in range(num):
                y = np.sqrt(icc) * rng.standard_normal((4, SEEDS, 1))
                y = 0.5 * (y + np.sqrt(1 - icc) * rng.standard_normal((4, SEEDS, langs)))
                y = y + (1 + 4 * 10.0 ** (-b * (X - X[0])))[:, None, None]
                found = exponent_interval(y.mean(axis=2), X)
                hit = found.low <= b <= found.high
                covered_by.append(hit)
                quoted_wrong.append(found.identified and not hit)
                if icc == 0.5 and b == 1.0 and k < 200:
                    wrong = exponent_interval(y.reshape(4, -1), X)
                    as_rows.append(wrong.low <= b <= wrong.high)
            where = f"b = {b:g}, intra-run correlation {icc:g}"
            found_rate, wrong_rate = float(np.mean(covered_by)), float(np.mean(quoted_wrong))
            rows += [
                rate(f"exponent: coverage, {where}", "≥ 93 %", found_rate, 0.93, 1, num),
                rate(f"exponent: quoted and wrong, {where}", "≤ 6 %", wrong_rate, 0, 0.06, num),
            ]
            if as_rows:
                name = f"exponent with languages as replicates, {where}"
                rows.append(mutation(name, float(np.mean(as_rows)), 0.93, 1, len(as_rows)))
    return rows


def checkpoints() -> list[Row]:
    """Checkpoints with an idiosyncrasy that all seeds share; and tasks as a sample of tasks."""
    rng = np.random.default_rng(31)
    n = 4 * STUDIES
    r = simulated.replicas(rng, n, (3, 3, 3, 3), np.full(4, 0.5))
    r = r + rng.normal(0, 0.5, (n, 4, 1))
    claimed = slope(r, X).p < 0.05
    shown = np.zeros(n, dtype=bool)
    for i in np.flatnonzero(claimed):
        beta, se, df = size_means_slope(r[i], X)
        shown[i] = abs(beta) > float(t_quantile(0.975, np.asarray(df))) * se
    name = "checkpoint idiosyncrasy .5, run SD .5: false claims in points"
    said = f"{name} without the tag “of these checkpoints”"
    rows = [
        rate(said, "≤ 6 %", float((claimed & shown).mean()), 0, 0.06, n),
        mutation(f"{name}, no tag", float(claimed.mean()), 0, 0.06, n),
    ]
    w = slope_weights(X)
    for num in (3, 5, 10):
        for tau in (0.0, 0.3, 1.0):
            rng = np.random.default_rng([32, num, int(10 * tau)])
            wide, narrow = [], []
            for _ in range(STUDIES):
                true = rng.normal(0, tau, num) if tau else np.zeros(num)
                y = true[:, None, None] * (X - X.mean())[:, None]
                y = y + 0.3 * rng.standard_normal((1, 4, SEEDS))
                y = y + rng.standard_normal((num, 4, SEEDS)) * 0.4 * rising(3)[:, None]
                whole = contrast(y.mean(axis=0), w, X)
                half, error = float(whole.half()), abs(float(whole.estimate))
                extra = sampled(y, X, np.full(num, 1 / num))
                more = float(t_quantile(0.975, np.asarray(num - 1.0))) * np.sqrt(extra)
                wide.append(error <= np.hypot(half, more))
                narrow.append(error <= half)
            where = f"{num} tasks, SD of true slopes {tau:g}"
            rows.append(
                rate(
                    f"slope of a sample of tasks: coverage of the mean over all, {where}",
                    "≥ 93 %",
                    float(np.mean(wide)),
                    0.93,
                    1,
                    STUDIES,
                )
            )
            if num == 5 and tau == 1:
                found = float(np.mean(narrow))
                rows.append(mutation(f"these tasks for all, {where}", found, 0.93, 1, STUDIES))
    return rows


GIB = {
    "sw": 1.6,
    "te": 4.7,
    "ta": 12.2,
    "hi": 20.2,
    "tr": 20.9,
    "th": 71.7,
    "de": 66.6,
    "ru": 278.0,
}


def gamma() -> list[Row]:
    """The resource interaction, where no scale-free difference between languages exists."""
    rows: list[Row] = []
    log = np.log10(np.array(list(GIB.values())))
    z = (log - log.mean()) / log.std()
    series = pl.DataFrame(
        {
            "arm": "a",
            "target": "t",
            "language": list(GIB),
            "pretraining_text": list(GIB.values()),
        }
    )

    def panel_of(y: Array) -> Panel:
        names = tuple("abcd")
        return Panel(
            models=names, labels=names, x=X, seeds=tuple(range(y.shape[1])), series=series, y=y
        )

    n = STUDIES
    for name in ("constant in log odds, low-resource 12 points lower", "random slopes, SD .4"):
        rng = np.random.default_rng([33, len(name)])
        said, these = 0, 0
        for _ in range(n):
            if name.startswith("constant"):
                p = (0.62 + 0.06 * (X - X[0]))[:, None] + 0.06 * np.sign(z)
                after = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + 0.3)))
            else:
                p = np.full((4, len(z)), 0.6)
                after = p + (2 + rng.normal(0, 0.4, len(z)) * (X - X.mean())[:, None]) / 100
            got = []
            for truth in (after, p):
                run = rng.normal(0, 0.002, (4, SEEDS, 1))
                got.append(rng.binomial(20000, truth[:, None, :] + run) / 20000)
            odds = [np.log(s / (1 - s)) for s in got]
            room = [np.log((s - 0.25) / (1 - s)) for s in got]
            points = panel_of(100 * (got[0] - got[1]))
            found = {
                "points": interaction(points, "points"),
                "logit": interaction(panel_of(odds[0] - odds[1]), "logit"),
                "room": interaction(panel_of(room[0] - room[1]), "room"),
                "sample": interaction_of_a_sample(points, "points"),
            }
            gammas = {name: e for name, e in found.items() if e is not None}
            said += interaction_sign(gammas) != 0
            these += gammas["points"].sign != 0
        rows.append(rate(f"γ said, {name}", "≤ 6 %", said / n, 0, 0.06, n))
        rows.append(mutation(f"γ in points, of these languages, {name}", these / n, 0, 0.06, n))
    return rows


def noise() -> list[Row]:
    """False claims where SDs fall with size, and with heavy tails that rise fivefold."""
    rows = []
    for name, seeds, ratio, tails in (
        ("SDs that fall fivefold", (3, 3, 3, 3), 0.2, None),
        ("SDs that fall fivefold", (5, 5, 3, 2), 0.2, None),
        ("t3 tails × 5", (3, 3, 3, 3), 5.0, 3.0),
        ("t3 tails × 5", (3, 3, 2, 2), 5.0, 3.0),
    ):
        rng = np.random.default_rng([34, *seeds, int(10 * ratio)])
        r = simulated.replicas(rng, 2 * STUDIES, seeds, rising(ratio), tails=tails)
        wrong = float((slope(r, X).p < 0.05).mean())
        where = f"false claims, {name}, seeds {seeds}"
        rows.append(rate(where, "≤ 6 %", wrong, 0, 0.06, 2 * STUDIES))
    return rows


def studies() -> list[Row]:
    """The mean slope over several studies, and the slope of one more."""
    rows = []
    for num in (2, 3, 6):
        for tau in (0.0, 1.0):
            rng = np.random.default_rng([37, num, int(tau)])
            held, more, fixed = [], [], []
            for _ in range(2 * STUDIES):
                errors = rng.uniform(0.3, 1.2, num)
                slopes = rng.normal(0, tau, num) + rng.normal(0, errors)
                found = combine(slopes, errors)
                held.append(found.low <= 0 <= found.high)
                more.append(found.expected_low <= rng.normal(0, tau) <= found.expected_high)
                weight = 1 / errors**2
                common = (weight * slopes).sum() / weight.sum()
                fixed.append(abs(common) <= 1.96 / np.sqrt(weight.sum()))
            where, n = f"{num} studies, SD of true slopes {tau:g}", len(held)
            mean = float(np.mean(held))
            rows.append(rate(f"mean over studies: coverage, {where}", "≥ 93 %", mean, 0.93, 1, n))
            if num > 2:
                new = float(np.mean(more))
                rows.append(rate(f"one more study: coverage, {where}", "≥ 90 %", new, 0.9, 1, n))
            if num == 6 and tau:
                alike = float(np.mean(fixed))
                rows.append(mutation(f"one true slope for all, {where}", alike, 0.93, 1, n))
    return rows


def omissions() -> list[Row]:
    """One target of five drives the slope: called robust where no omission is looked at."""
    rng = np.random.default_rng(35)
    names, n, called = tuple("abcd"), 200, 0
    series = pl.DataFrame(
        [("a", f"t{t}", code) for t in range(5) for code in ("sw", "te")],
        schema=["arm", "target", "language"],
        orient="row",
    )
    for _ in range(n):
        y = rng.normal(0, 0.5, (4, SEEDS, 5, 2)) + rng.normal(0, 0.3, (4, SEEDS, 5, 1))
        y[..., 0, :] += -5 * (X - X.mean())[:, None, None]
        panel = Panel(
            models=names,
            labels=names,
            x=X,
            seeds=tuple(range(SEEDS)),
            series=series,
            y=y.reshape(4, SEEDS, -1),
        )
        whole = slope(replicas(panel.y, panel.weights), X)
        called += is_robust(whole, [])
    where = "one target of five drives the slope: called robust"
    return [mutation(f"{where}, without omissions", called / n, 0, 0.06, n)]


def claims() -> list[Row]:
    """24 claims of which none is true: studies in which any is decided against the truth."""
    rng = np.random.default_rng(36)
    claim = Claim(
        name="c",
        says="it helps",
        source="simulated",
        of=Selection(),
        expect=Expectation(direction="positive"),
    )
    n, tests, plain, corrected = 300, 24, 0, 0
    for _ in range(n):
        r = simulated.replicas(rng, tests, (3, 3, 3, 3), rising(1)) - 2.0
        last = contrast(r, np.eye(4)[3], X)
        checked = []
        for k in range(tests):
            status, p = judge(claim.expect, last.item(k))
            checked.append(
                Checked(
                    claim=claim,
                    model="m",
                    label="m",
                    status=status,
                    estimate=0.0,
                    low=0.0,
                    high=0.0,
                    detail="",
                    p=p,
                )
            )
        plain += any(c.status != "undecided" for c in checked)
        corrected += any(c.status != "undecided" for c in holm(checked))
    return [
        rate("24 claims, none true: any decided", "≤ 6 %", corrected / n, 0, 0.06, n),
        mutation("24 claims without Holm's correction", plain / n, 0, 0.06, n),
    ]


def silence() -> list[Row]:
    """One phase-ii checkpoint for all seeds, no true gain: studies that print an interval of the
    slope without zero.
    """
    n, printed = 200, {"rule": 0, "none": 0}
    question = Question(resamples=0)
    whole = analysis.analyse.silenced
    for seed in range(n):
        frame = check_tidy(
            study(
                gain=lambda u, *_: 0.0,
                baseline=lambda u, *_: 60.0,
                targets={"panx": ("sw", "te"), "tydiqa": ("sw", "te")},
                arms=("mnli",),
                checkpoint_sd=1.0,
                share_checkpoint=True,
                seed=seed,
            )
        )
        analysis.analyse.silenced = lambda results: results
        try:
            found = analysis.analyse.analyse(frame, question)
        finally:
            analysis.analyse.silenced = whole
        printed["none"] += found.primary.sign != 0
        printed["rule"] += whole(found).primary.sign != 0
    where = "one phase ii for all seeds, no gain: intervals of the slope without zero"
    return [
        rate(where, "≤ 6 %", printed["rule"] / n, 0, 0.06, n),
        mutation(f"{where}, not silenced", printed["none"] / n, 0, 0.06, n),
    ]


def looks() -> list[Row]:
    """Why a report of a study that still runs tests nothing: one early look, and no change at all.

    Whoever ends the study as soon as the slope's interval lies beside zero has two chances.
    """
    rows, n = [], 10_000
    for seeds, first in (((3, 3, 3, 3), 2), ((5, 5, 5, 5), 3)):
        rng = np.random.default_rng([17, *seeds])
        r = simulated.replicas(rng, n, seeds, rising(5))
        whole, early = (
            np.abs(found.estimate) > found.half()
            for found in (slope(r, X), slope(r[..., :first], X))
        )
        where = f"no change, {seeds[0]} seeds, SD ratio 5: slopes called"
        called = float(whole.mean())
        rows.append(rate(f"{where}, tested once all are there", "≤ 5.5 %", called, 0, 0.055, n))
        either = float((whole | early).mean())
        rows.append(mutation(f"{where}, and after {first} seeds too", either, 0, 0.055, n))
    return rows


PARTS = (exponents, checkpoints, gamma, noise, studies, omissions, claims, silence, looks)
