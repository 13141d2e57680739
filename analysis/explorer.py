"""The data behind the page's explorer and its lists of records.

It holds every gain with its two steps. Small studies have all of it inside the page; of large ones
each target's part lies beside it, as a script that a page opened from a file may load.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis.behind import Behind, behind
from analysis.gains import NOT_POOLED
from analysis.results import Results
from analysis.shown import Shown, ShownExamples

ONE_FILE = 30_000
"""From so many rows on, details lie beside the page."""


@dataclass(frozen=True, kw_only=True)
class Details:
    """What the page's scripts show."""

    head: dict[str, Any]
    """Sizes, seeds, names and groups, and by target its arms, languages and chunks."""
    chunks: dict[str, Any]
    """Name → the gains of a target (`t0`), or its examples (`t0x`)."""


def details_of(results: Results, shown: ShownExamples | None = None) -> Details:
    """All details of the page.

    A target's chunk has `series[arm|language]` = [size][seed] pairs [score without, score with] in
    0..100, null where missing; `runs[arm]` = [size][seed] of [step, step without phase ii,
    collapsed]; `slopes[arm|language]` = [slope, low, high, over the sizes]; `steps`, the names that
    runs count; `bits[arm|language]`, the groups that the series is in (`Behind.bits`); `models`, by
    arm the sizes of its slope. A chunk of examples has `STEP` → language → [id, prediction,
    outcome].
    """
    found = behind(results)
    gains, chunks = results.gains, {}
    targets: dict[str, dict[str, Any]] = {}
    for place, ((target,), part) in enumerate(
        gains.sort("target").group_by(["target"], maintain_order=True)
    ):
        name = f"t{place}"
        chunk = _chunk(results, part, found)
        chunks[name] = chunk
        examples = {} if shown is None else _examples(chunk["steps"], shown)
        if examples:
            chunks[f"{name}x"] = examples
        targets[str(target)] = {
            "chunk": name,
            "examples": f"{name}x" if examples else "",
            "metric": part["metric"][0],
            "arms": part["arm"].unique().sort().to_list(),
            "languages": part["language"].unique().sort().to_list(),
            "same": part.filter("same_data")["arm"].unique().sort().to_list(),
        }
    roles = gains.select("arm", "role", "pooled").unique().sort("arm")
    facts = gains.select("language", "language_name", "tier", "low").unique().sort("language")
    models = results.sizes["model"].to_list()
    head = {
        "study": gains["study"][0],
        "models": models,
        "labels": results.sizes["label"].to_list(),
        "x": [round(v, 4) for v in results.sizes["x"]],
        "seeds": gains["seed"].unique().sort().to_list(),
        "names": dict(facts.select("language", "language_name").iter_rows()),
        "tiers": dict(facts.select("language", "tier").iter_rows()),
        "arms": {
            arm: "" if pooled else NOT_POOLED.get(role, role)
            for arm, role, pooled in roles.iter_rows()
        },
        "targets": targets,
        "groups": [
            {"name": g.name, "languages": g.languages, "models": g.models} for g in found.groups
        ],
        "languageModels": found.language_models,
    }
    return Details(head=head, chunks=chunks)


def _chunk(results: Results, part: pl.DataFrame, found: Behind) -> dict[str, Any]:
    """The gains of one target."""
    models = results.sizes["model"].to_list()
    seeds = results.gains["seed"].unique().sort().to_list()
    size_at = {model: i for i, model in enumerate(models)}
    seed_at = {seed: j for j, seed in enumerate(seeds)}
    target = str(part["target"][0])

    def grid() -> list[list[Any]]:
        return [[None] * len(seeds) for _ in models]

    series: dict[str, list[list[Any]]] = {}
    runs: dict[str, list[list[Any]]] = {}
    steps: dict[str, int] = {}
    for row in part.select(
        "arm",
        "language",
        "model",
        "seed",
        pl.col("value").mul(100).round(2),
        pl.col("baseline").mul(100).round(2),
        "step",
        "step_none",
        "collapsed",
    ).iter_rows():
        arm, language, model, seed, value, baseline, step, step_none, collapsed = row
        i, j = size_at[model], seed_at[seed]
        series.setdefault(f"{arm}|{language}", grid())[i][j] = [baseline, value]
        runs.setdefault(arm, grid())[i][j] = [
            steps.setdefault(step, len(steps)),
            steps.setdefault(step_none, len(steps)),
            int(collapsed),
        ]
    slopes = {
        f"{arm}|{language}": [None if v is None or v != v else round(v, 3) for v in numbers]
        for arm, language, *numbers in results.series.filter(pl.col("target") == target)
        .select("arm", "language", "slope", "slope_low", "slope_high", "over_span")
        .iter_rows()
    }
    return {
        "series": series,
        "runs": runs,
        "slopes": slopes,
        "steps": list(steps),
        "bits": {
            key: bits
            for key in series
            if (bits := found.bits.get((key.split("|")[0], target, key.split("|")[1]), 0))
        },
        "models": {arm: found.pair_models.get((arm, target), ()) for arm in runs},
    }


def _examples(steps: list[str], shown: ShownExamples) -> dict[str, dict[str, Shown]]:
    return {step: examples for step in steps if (examples := shown.of(step))}


def as_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    # `</script>` would end the element, `<!--` would swallow what follows it.
    return text.replace("<", "\\u003c")


def write_details(details: Details, folder: Path) -> None:
    """NAME.js for each chunk: a call with its data, since a page of a file cannot fetch."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, chunk in details.chunks.items():
        text = f'scalingDetails("{name}",{as_json(chunk)});\n'
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
