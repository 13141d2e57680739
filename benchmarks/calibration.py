"""Does the analysis keep its promises? Synthetic studies with a known truth (`make
bench-calibration`).

Data come from `benchmarks.simulated`, which shares no code with the rules. Rules were tuned on the
lines marked `tuned`; the others are reports. A rate is met if its target lies within two
Monte-Carlo standard errors. Each mutation takes one rule out and must leave the band by three.
`python -m benchmarks.calibration PART ...` runs some parts and keeps the lines of the others.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl

from analysis.analyse import analyse
from analysis.collapse import far_below, trend_p
from analysis.gains import room_gain
from analysis.influence import influence, is_robust
from analysis.load import check_tidy
from analysis.panel import Array, Panel, balance, mean_weights, replicas
from analysis.sensitivity import permutation_p, within_series
from analysis.shapes import shape_test
from analysis.shrink import benjamini_hochberg, languages
from analysis.slope import Contrast, contrast, equivalent, slope, slope_weights, t_quantile
from analysis.verdict import agreed
from benchmarks import conditions, simulated
from benchmarks.rates import Row, mutation, rate
from benchmarks.redrawn import items
from benchmarks.results_table import write_results
from benchmarks.simulated import SPAN, X, rising
from scaling.study.collapse import has_collapsed
from scaling.study.question import Question
from tests.helpers.synthetic import study

STUDIES = 1000
DESIGNS = ((3, 3, 3, 3), (3, 3, 2, 2), (5, 5, 3, 2), (5, 5, 5, 5))
SHAPES = {"1": rising(1), "2": rising(2), "5": rising(5), "1 1 1 5": np.array([1.0, 1, 1, 5])}
OTHER = (
    ((4, 4, 3, 2), "3", rising(3), None),
    ((6, 4, 2, 2), "4", rising(4), None),
    ((2, 2, 2, 2), "3", rising(3), None),
    ((4, 4, 4, 4), "5", rising(5), None),
    ((5, 5, 3, 2), "1/5 (falling)", rising(0.2), None),
    ((3, 3, 3, 2), "1 3 3 1", np.array([1.0, 3, 3, 1]), None),
    ((3, 3, 2, 2), "5, t3 tails", rising(5), 3.0),
)


def covered(result: Contrast, truth: float = 0.0) -> float:
    return float((np.abs(result.estimate - truth) <= result.half()).mean())


def true_error(sds: Array, seeds: tuple[int, ...]) -> float:
    """Standard error of the slope if the variances were known."""
    return float(np.sqrt((slope_weights(X) ** 2 * sds**2 / np.array(seeds)).sum()))


def variance() -> list[Row]:
    """Intervals of the slope and of the gain at the largest size, and equivalence, by design."""
    rows = []
    cases = [
        (seeds, name, sds, None, " (tuned)") for seeds in DESIGNS for name, sds in SHAPES.items()
    ]
    cases += [(*case, "") for case in OTHER]
    for seeds, name, sds, tails, note in cases:
        rng = np.random.default_rng([1, *seeds, len(name)])
        r = simulated.replicas(rng, STUDIES, seeds, sds, tails=tails)
        result, where = slope(r, X), f"seeds {seeds}, SD ratio {name}{note}"
        low, high = (0.93, 0.97) if min(seeds) == 5 else (0.93, 0.985)
        low = 0.88 if name in ("1 1 1 5", "1 3 3 1") else low
        found = covered(result)
        rows.append(
            rate(f"coverage, slope, {where}", f"{low:.2f}–{high}", found, low, high, STUDIES)
        )
        last = contrast(r, np.eye(4)[3], X)
        least = 0.91 if seeds[3] == 2 else 0.93
        if name not in ("1 1 1 5", "1 3 3 1"):
            rows.append(
                rate(
                    f"coverage, gain at the largest size, {where}",
                    f"{least}–0.98",
                    covered(last, 2.0),
                    least,
                    0.98 if note else 1.0,
                    STUDIES,
                )
            )
            margin = 3 * true_error(sds, seeds)
            r_edge = r + margin * (X - X.mean())[:, None]
            edge = float(equivalent(slope(r_edge, X), margin).mean())
            rows.append(
                rate(f"equivalence at the margin, {where}", "≤ 6 %", edge, 0, 0.06, STUDIES)
            )
        if seeds == (5, 5, 3, 2) and name == "5":
            wide = float(np.median(result.half())) / (1.96 * true_error(sds, seeds))
            rows.append(
                {
                    "figure": f"median half-width against known variances, {where}",
                    "target": "≤ 1.6",
                    "value": f"{wide:.2f}",
                    "met": wide <= 1.6,
                }
            )
            old = covered(result.equal_variances())
            rows.append(mutation("one variance for all sizes, same design", old, 0.93, 1, STUDIES))
            missing = float(np.isfinite(result.half()).mean())
            rows.append(rate(f"an interval is given, {where}", "100 %", missing, 1, 1, STUDIES))
    rng = np.random.default_rng(2)
    effect = 3.17 * true_error(rising(1), (3, 3, 3, 3))
    r = simulated.replicas(rng, 2 * STUDIES, (3, 3, 3, 3), rising(1), beta=-effect)
    ours, before = (
        float((c.p < 0.05).mean()) for c in (slope(r, X), slope(r, X).equal_variances())
    )
    rows.append(
        rate(
            f"power, equal variances, 3 seeds, where one variance has {100 * before:.0f} %",
            "≥ 0.75 ×",
            ours,
            0.75 * before,
            1,
            2 * STUDIES,
        )
    )
    return rows


def families() -> list[Row]:
    """Languages, shapes and the permutation, with no change anywhere."""
    rows = []
    for seeds in DESIGNS:
        for ratio in (1.0, 5.0):
            where = f"seeds {seeds}, SD ratio {ratio:g}"
            rng = np.random.default_rng([3, *seeds, int(ratio)])
            r, true = simulated.languages(rng, 1000, seeds, rising(ratio), num=12)
            fit = languages(r, X)
            q = benjamini_hochberg(fit.p)
            rows.append(
                rate(
                    f"false discovery rate, no language changes, {where}",
                    "≤ 6 %",
                    float((q <= 0.05).any(axis=1).mean()),
                    0,
                    0.06,
                    1000,
                )
            )
            shrunk = np.abs(fit.eb - true) <= t_quantile(0.975, fit.eb_df) * fit.eb_se
            plain = np.abs(fit.slope - true) <= t_quantile(0.975, fit.df) * fit.se
            for name, hit in (("least squares", plain), ("shrunk", shrunk)):
                rows.append(
                    rate(
                        f"coverage per language, {name}, {where}",
                        "≥ 93 %",
                        float(hit.mean()),
                        0.93,
                        1,
                        1000,
                    )
                )
            flat = simulated.replicas(rng, 1000, seeds, rising(ratio))
            p = shape_test(flat, X).p
            rows.append(
                rate(
                    f"false shapes (MCP-Mod), {where}",
                    "≤ 6 %",
                    float((p < 0.05).mean()),
                    0,
                    0.06,
                    1000,
                )
            )
            shuffled = np.array([permutation_p(one, X, 199, 0) for one in flat])
            wrong = float((shuffled <= 0.05).mean())
            if ratio == 1:
                rows.append(rate(f"permutation, {where}", "≤ 6 %", wrong, 0, 0.06, 1000))
            elif seeds == (5, 5, 3, 2):
                rows.append(
                    mutation(f"permutation where it is not valid, {where}", wrong, 0, 0.06, 1000)
                )
    return rows


def on_scales(
    after: Array, before: Array, chance: float, ceiling: float, n: int
) -> dict[str, Array]:
    """Gains on the three scales, averaged over languages: [study, size, seed]."""
    frame = pl.DataFrame(
        {"value": after.ravel(), "baseline": before.ravel(), "n": n, "n_none": n}
    ).with_columns(pl.lit(chance).alias("chance"), pl.lit(0.0).alias("none"))
    found = frame.select(
        (100 * (pl.col("value") - pl.col("baseline"))).alias("points"),
        room_gain(pl.lit(1.0), "none").alias("logit"),
        room_gain(pl.lit(ceiling)).alias("room"),
    )
    return {
        name: found[name].to_numpy().reshape(after.shape).mean(axis=-1) for name in found.columns
    }


def signs_of(scales: dict[str, Array]) -> Array:
    """[study, scale]: −1, 0, 1 by the 95 % interval of the slope."""
    out = []
    for r in scales.values():
        result = slope(r, X)
        out.append(np.where(result.p < 0.05, np.sign(result.estimate), 0))
    return np.stack(out, axis=-1).astype(int)


def scale_rows() -> list[Row]:
    """Constant gains on one scale, which move on the others; and changes that are true on all."""
    rows, n = [], 1000
    constant = {"points": 4.0, "logit": 0.3, "room": 0.4}
    shown = {"points": 0.0, "room": 0.0}
    for chance in (0.0, 0.25, 1 / 3, 0.5):
        for ceiling in (0.9, 1.0):
            low = chance + 0.2 * (ceiling - chance)
            baselines = np.linspace(low, chance + 0.85 * (ceiling - chance), 4)
            for scale, gain in constant.items():
                rng = np.random.default_rng([4, int(100 * chance), int(10 * ceiling), len(scale)])
                after, before = simulated.scores(
                    rng,
                    n,
                    3,
                    0.5,
                    scale=scale,
                    gains=np.full(4, gain),
                    baselines=baselines,
                    chance=chance,
                    ceiling=ceiling,
                )
                signs = signs_of(on_scales(after, before, chance, ceiling, 2000))
                wrong = float((agreed(signs) != 0).mean())
                rows.append(
                    rate(
                        f"claims, gain constant in {scale}, chance {chance:.2f}, ceiling"
                        f" {ceiling:g}",
                        "≤ 6 %",
                        wrong,
                        0,
                        0.06,
                        n,
                    )
                )
                if scale == "room":
                    shown["points"] = max(shown["points"], float((signs[:, 0] != 0).mean()))
                    two = float((agreed(signs[:, :2]) != 0).mean())
                    shown["room"] = max(shown["room"], two)
    rows.append(mutation("points alone", shown["points"], 0, 0.06, n))
    rows.append(mutation("points and log odds alone", shown["room"], 0, 0.06, n))
    for name, baselines in (
        ("flat", np.full(4, 0.6)),
        ("rising", np.array([0.55, 0.6, 0.68, 0.72])),
    ):
        for word, gains in (("DIMINISHES", (6.0, -1)), ("GROWS", (2.0, 1))):
            smallest = None
            for fall in (1.0, 2.0, 3.0, 4.0):
                path = gains[0] + gains[1] * fall * (X - X[0]) / SPAN
                rng = np.random.default_rng([5, int(fall), len(name), len(word)])
                after, before = simulated.scores(
                    rng,
                    n,
                    3,
                    0.4,
                    scale="points",
                    gains=path,
                    baselines=baselines,
                    chance=1 / 3,
                    ceiling=1.0,
                )
                signs = agreed(signs_of(on_scales(after, before, 1 / 3, 1.0, 2000)))
                if float((signs == gains[1]).mean()) >= 0.8:
                    smallest = fall
                    break
            rows.append(
                {
                    "figure": f"{word}: smallest change in points seen on all scales with 80 %,"
                    f" {name} baselines, run SD 0.4, 3 seeds",
                    "target": "reported",
                    "value": f"{smallest:g} points" if smallest else "more than 4 points",
                    "met": smallest is not None or name == "rising",
                }
            )
    return rows


def _panel(y: Array, targets: int, arms: int, langs: tuple[str, ...]) -> Panel:
    """One study's panel of y[size, seed, series], series by target, arm, language."""
    grid = [(f"a{a}", f"t{t}", code) for t in range(targets) for a in range(arms) for code in langs]
    return Panel(
        models=tuple("abcd"),
        labels=tuple("abcd"),
        x=X,
        seeds=tuple(range(y.shape[1])),
        series=pl.DataFrame(grid, schema=["arm", "target", "language"], orient="row"),
        y=y,
    )


def collapse() -> list[Row]:
    """What the collapse rule catches, and what is left of the slope."""
    rows, langs = [], ("sw", "te", "ta", "de")
    n, targets, arms, seeds = 1000, 3, 2, 3
    uneven = np.array([0.5, 0.75, 1.0, 1.75])[:, None] * np.ones(1 + arms)
    only_one = np.zeros((4, 1 + arms))
    only_one[:, 1] = (0.0, 0.1, 0.3, 0.5)
    cases = {
        "full, chance 1/3": (0.08 * uneven, 1.0, 1 / 3, np.array([-1.0, -1.0])),
        "full, chance 0": (0.08 * uneven, 1.0, 0.0, np.array([-1.0, -1.0])),
        "half partial, chance 0": (0.08 * uneven, 0.5, 0.0, np.array([-1.0, -1.0])),
        "half partial, chance 1/3": (0.08 * uneven, 0.5, 1 / 3, np.array([-1.0, -1.0])),
        "one arm only (0 10 30 50 %)": (only_one, 1.0, 1 / 3, np.array([-3.0, 0.0])),
    }
    for name, (rates, full, chance, slopes) in cases.items():
        rng = np.random.default_rng([6, len(name), int(10 * full)])
        score, dev, dead = simulated.collapsing(
            rng,
            n,
            seeds=seeds,
            targets=targets,
            arms=arms,
            rates=rates,
            full=full,
            chance=chance,
            slopes=slopes,
        )
        pool = np.moveaxis(dev, 2, -1).reshape(n, 4, targets, -1)
        low = far_below(pool).reshape(n, 4, targets, 1 + arms, seeds)
        flagged = np.moveaxis(low, -1, 2)
        own = np.vectorize(has_collapsed)(dev, chance, 2000)
        flagged = flagged | own
        for kind, which in (("full", dead == 2), ("partial", dead == 1)):
            if which.any():
                hit = float(flagged[which].mean())
                rows.append(
                    rate(
                        f"{kind} collapses flagged, {name}", "≥ 90 %", hit, 0.9, 1, int(which.sum())
                    )
                )
        false = float(flagged[dead == 0].mean())
        rows.append(rate(f"healthy runs flagged, {name}", "≤ 2 %", false, 0, 0.02, n))
        truth = float(slopes.mean())
        estimates: dict[str, list[tuple[float, bool]]] = {"rule": [], "all": []}
        for way, lost in (("rule", flagged), ("all", np.zeros_like(flagged))):
            kept = np.where(lost[..., None], np.nan, score)
            gain = kept[..., 1:, :] - kept[..., :1, :]
            y = gain.reshape(n, 4, seeds, -1)
            for i in range(n if way == "rule" else 200):
                panel = balance(_panel(y[i], targets, arms, langs))
                if panel.num_sizes == 4 and len(panel.series):
                    r = replicas(panel.y, panel.weights)
                    result = slope(r, X)
                    error = float(result.estimate) - truth
                    estimates[way].append((error, abs(error) <= float(result.half())))
        found = np.array([e for e, _ in estimates["rule"]])
        hits = np.array([hit for _, hit in estimates["rule"]])
        known = np.isfinite(found)
        bias = float(found[known].mean())
        rows.append(
            {
                "figure": f"bias of the slope, {name} (a panel in {len(found)} of {n} studies)",
                "target": "|bias| ≤ 0.15",
                "value": f"{bias:+.3f}",
                "met": abs(bias) <= 0.15 + 2 * float(found[known].std()) / np.sqrt(len(found)),
            }
        )
        rows.append(rate(f"coverage, {name}", "≥ 90 %", float(hits.mean()), 0.9, 1, len(hits)))
        if name == "full, chance 0":
            raw = float(np.mean([e for e, _ in estimates["all"]]))
            rows.append(
                {
                    "figure": "mutation: no collapse rule, full, chance 0",
                    "target": "leaves |bias| ≤ 0.15",
                    "value": f"{raw:+.2f}",
                    "met": abs(raw) > 0.15,
                }
            )
    n = 2000
    rng = np.random.default_rng(7)
    fate = rng.random((n, 4, 6)) < 0.2
    per_checkpoint = [trend_p(c.sum(axis=1).tolist(), [6] * 4) for c in fate]
    rows.append(
        rate(
            "collapse trend, phase ii collapses alike at all sizes, 6 targets",
            "≤ 6 %",
            float((np.array(per_checkpoint) < 0.05).mean()),
            0,
            0.06,
            n,
        )
    )
    per_target = [trend_p((6 * c.sum(axis=1)).tolist(), [36] * 4) for c in fate]
    wrong = float((np.array(per_target) < 0.05).mean())
    rows.append(mutation("collapse counted once per target", wrong, 0, 0.06, n))
    return rows


def robust() -> list[Row]:
    """How many claims are called robust, false ones and true ones at power .95."""
    rows, targets, arms, langs, seeds = [], 4, 2, ("sw", "te", "ta", "mr", "tr", "de"), 3
    for name, beta, studies in (("false", 0.0, 5000), ("true (power .95)", -1.12, 300)):
        rng = np.random.default_rng([8, studies])
        called, claims = 0, 0
        weights = mean_weights(_panel(np.zeros((4, seeds, 48)), targets, arms, langs).series)
        for _ in range(studies // 500 or 1):
            size = min(studies, 500)
            run = rng.normal(0, 0.7, (size, 4, seeds, targets, arms + 1))
            phase = rng.normal(0, 0.3, (size, 4, seeds, 1, arms))
            y = (run[..., 1:] - run[..., :1] + phase)[..., None] + rng.normal(
                0, 0.7, (size, 4, seeds, targets, arms, len(langs))
            )
            y = y.reshape(size, 4, seeds, -1) + beta * (X - X.mean())[:, None, None]
            whole = slope(replicas(y, weights), X)
            for i in np.flatnonzero(whole.p < 0.05):
                found = influence(_panel(y[i], targets, arms, langs), pl.lit(True), {})
                claims += 1
                called += is_robust(whole.item(int(i)), found)
        share = called / max(claims, 1)
        target, low, high = ("≤ 20 %", 0, 0.2) if beta == 0 else ("≥ 40 %", 0.4, 1)
        rows.append(
            rate(
                f"{name} claims called robust, {studies:,} studies",
                target,
                share,
                low,
                high,
                claims,
            )
        )
    rng = np.random.default_rng(9)
    called = 0
    for _ in range(200):
        y = rng.normal(0, 0.5, (4, seeds, 5, 2)) + rng.normal(0, 0.3, (4, seeds, 5, 1))
        y[..., 0, :] += -5 * (X - X.mean())[:, None, None]
        panel = _panel(y.reshape(4, seeds, -1), 5, 1, ("sw", "te"))
        whole = slope(replicas(panel.y, panel.weights), X)
        called += is_robust(whole, influence(panel, pl.lit(True), {}))
    rows.append(
        rate(
            "one target of five drives the slope: called robust",
            "≤ 6 %",
            called / 200,
            0,
            0.06,
            200,
        )
    )
    return rows


def panels() -> list[Row]:
    """The largest size run only where gains are large (true slope 0): the mix must not slope."""
    targets, langs, seeds, studies = 6, ("sw", "te", "ta", "de", "ru"), 3, 1000
    rng = np.random.default_rng(10)
    level = np.repeat([0.5, 1.0, 1.5, 4.0, 5.0, 6.0], len(langs))
    naive, kept, within = [], [], []
    for _ in range(studies):
        run = np.repeat(0.5 * rng.standard_normal((4, seeds, targets)), len(langs), axis=-1)
        y = level + run + 0.7 * rng.standard_normal((4, seeds, len(level)))
        y[-1, :, level < 3] = np.nan
        panel = _panel(y, targets, 1, langs)
        naive.append(slope_weights(X) @ np.nanmean(y, axis=(1, 2)))
        whole = balance(panel)
        kept.append(float(slope(replicas(whole.y, whole.weights), X).estimate))
        within.append(float(within_series(panel).estimate))
    rows: list[Row] = [
        {
            "figure": f"bias with an incomplete largest size, {name}",
            "target": "|bias| ≤ 0.05",
            "value": f"{np.mean(values):+.3f}",
            "met": bool(abs(np.mean(values)) <= 0.05),
        }
        for name, values in (("same series", kept), ("within series", within))
    ]
    rows.append(
        {
            "figure": "mutation: means of whatever exists",
            "target": "leaves |bias| ≤ 0.05",
            "value": f"{np.mean(naive):+.2f}",
            "met": bool(abs(np.mean(naive)) > 0.05),
        }
    )
    y = rng.standard_normal((2000, 4, 3, 1)) * 0.5 + np.sqrt(0.75) * rng.standard_normal(
        (2000, 4, 3, 40)
    )
    wrong = covered(slope(y.reshape(2000, 4, -1), X))
    rows.append(mutation("rows instead of (size, seed) replicas, ICC .25", wrong, 0.93, 1, 2000))
    return rows


def whole_studies() -> list[Row]:
    """The same promises through `check_tidy` and `analyse`, 200 studies a line."""
    rows, n = [], 200
    question = Question(resamples=0)
    calls: dict[str, int] = {}
    hits = 0
    for seed in range(n):
        frame = study(
            gain=lambda u, *_: 2.0,
            baseline=lambda u, *_: 60.0,
            targets={"panx": ("sw", "te", "mr", "de"), "tydiqa": ("sw", "te", "ru")},
            arms=("mnli",),
            run_sd=0.5,
            seed=seed,
        )
        few = (pl.col("model") == "xlm-r-xxl") & (pl.col("seed") == 2)
        found = analyse(check_tidy(frame.filter(~few)), question)
        calls[str(found.verdict.call)] = calls.get(str(found.verdict.call), 0) + 1
        hits += found.primary.low <= 0 <= found.primary.high
    wrong = (calls.get("DIMINISHES", 0) + calls.get("GROWS", 0)) / n
    rows.append(rate("whole analysis: false claims, seeds 3 3 3 2", "≤ 6 %", wrong, 0, 0.06, n))
    rows.append(
        rate("whole analysis: coverage, seeds 3 3 3 2", "93–98.5 %", hits / n, 0.93, 0.985, n)
    )
    return rows


def main() -> int:
    parts = (variance, families, scale_rows, collapse, robust, panels, whole_studies)
    by_name = {part.__name__: part for part in (*parts, items, *conditions.PARTS)}
    asked = sys.argv[1:] or list(by_name)
    rows = [{**row, "met": bool(row["met"])} for name in asked for row in by_name[name]()]
    write_results("calibration", rows, keep=len(asked) < len(by_name))
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
