"""The data behind the page's explorer, small enough to live inside the page.

It holds every gain with its two steps.
"""

from __future__ import annotations

import json
from typing import Any

from analysis.results import Results


def explorer_data(results: Results) -> str:
    """JSON for a <script type="application/json"> element.

    `series[arm|target|language]` = [size][seed] pairs [score without, score with] in 0..100, null
    where missing; `runs[arm|target]` = [size][seed] of [step, step without phase ii, collapsed];
    `slopes[...]` = [slope, low, high].
    """
    gains = results.gains
    models = results.sizes["model"].to_list()
    seeds = gains["seed"].unique().sort().to_list()
    size_at = {model: i for i, model in enumerate(models)}
    seed_at = {seed: j for j, seed in enumerate(seeds)}
    series: dict[str, list[list[Any]]] = {}
    runs: dict[str, list[list[Any]]] = {}

    def grid() -> list[list[Any]]:
        return [[None] * len(seeds) for _ in models]

    steps: dict[str, int] = {}
    for row in gains.select(
        "arm",
        "target",
        "language",
        "model",
        "seed",
        "value",
        "baseline",
        "step",
        "step_none",
        "collapsed",
    ).iter_rows():
        arm, target, language, model, seed, value, baseline, step, step_none, collapsed = row
        i, j = size_at[model], seed_at[seed]
        cell = [round(100 * baseline, 2), round(100 * value, 2)]
        series.setdefault(f"{arm}|{target}|{language}", grid())[i][j] = cell
        run = [
            steps.setdefault(step, len(steps)),
            steps.setdefault(step_none, len(steps)),
            int(collapsed),
        ]
        runs.setdefault(f"{arm}|{target}", grid())[i][j] = run
    slopes = {
        "|".join(row[:3]): [None if v != v else round(v, 3) for v in row[3:]]
        for row in results.series.select(
            "arm", "target", "language", "slope", "slope_low", "slope_high"
        )
        .fill_null(float("nan"))
        .iter_rows()
    }
    names = dict(gains.select("language", "language_name").unique().sort("language").iter_rows())
    tiers = dict(gains.select("language", "tier").unique().sort("language").iter_rows())
    data = {
        "labels": results.sizes["label"].to_list(),
        "x": [round(v, 4) for v in results.sizes["x"]],
        "seeds": seeds,
        "series": series,
        "runs": runs,
        "slopes": slopes,
        "steps": list(steps),
        "names": names,
        "tiers": tiers,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    # `</script>` would end the element, `<!--` would swallow what follows it.
    return text.replace("<", "\\u003c")
