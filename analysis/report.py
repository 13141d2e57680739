"""The report: one directory that answers the question offline.

Every number in it is traced to its records.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from analysis import sentences, view_sentences
from analysis.analyse import analyse
from analysis.answer import answer, no_answer
from analysis.claims import load_claims
from analysis.coverage import by_family, check_expected, coverage_table, missing_cells
from analysis.depths import depth_table
from analysis.estimands import Estimate
from analysis.examples import Outcomes
from analysis.explorer import explorer_data
from analysis.figures import DRAWINGS
from analysis.figures.captions import caption
from analysis.figures.style import look, save
from analysis.gains import NOT_POOLED, pair_gains
from analysis.load import check_tidy
from analysis.meta import combined_verdicts
from analysis.panel import TooFewScales
from analysis.published import overlay
from analysis.results import Results
from analysis.sensitivity import INTENDED
from analysis.tables import write_csv, write_tables
from scaling.study.question import Question

_HERE = Path(__file__).parent
_LIBRARIES = ("numpy", "scipy", "polars", "matplotlib", "jinja2")


def write_report(
    frame: pl.DataFrame,
    *,
    question: Question,
    title: str,
    out: Path,
    expected: pl.DataFrame | None = None,
    notes: Sequence[str] = (),
    claims: Path | None = None,
    outcomes: Outcomes | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Writes the report into `out` and returns its index.html.

    Beside it: figures/, tables/, verdict.json and analysis.lock. Two families, or two methods,
    never share a curve: each then gets a report of its own below `out`, and index.html lists them.
    Records that carry no slope yet get a partial report: coverage, and why there is no verdict.
    BadInput (a ValueError) for records or claims that cannot be read.

    Args:
        frame: Rows of TidyRow.
        question: The population, scale axis and margins that are fixed before the data.
        title: Of the page.
        out: The report's directory; made if it is not there.
        expected: The study's grid (model, arm, target, language, seed) for the coverage table.
        notes: Caveats printed at the top.
        claims: A YAML file (analysis.claims).
        outcomes: Outcomes of single examples by scoring step (analysis.examples); None: not known.
        progress: Called with what is done next.
    """
    say = progress or (lambda text: None)
    say("checking rows")
    frame = check_tidy(frame)
    check_expected(expected)
    if claims is not None:
        load_claims(claims)
    groups = by_family(frame, expected)
    out.mkdir(parents=True, exist_ok=True)
    if len(groups) == 1:
        return _one(frame, question, title, out, expected, notes, claims, outcomes, say)
    parts = []
    for name, part, grid in groups:
        say(f"report of {name}")
        each = f"{title}: {part['family'][0]}, {part['method'][0]}"
        _one(part, question, each, out / name, grid, notes, claims, outcomes, say)
        parts.append(
            {"name": name, **json.loads((out / name / "verdict.json").read_text(encoding="utf-8"))}
        )
    together = combined_verdicts(parts)
    found = {"reports": parts, "together": [asdict(item) for item in together]}
    _write_json(out / "verdict.json", found)
    return _render(
        out, "contents.html", title=title, parts=parts, notes=notes, together=together, s=sentences
    )


def _one(
    frame: pl.DataFrame,
    question: Question,
    title: str,
    out: Path,
    expected: pl.DataFrame | None,
    notes: Sequence[str],
    claims: Path | None,
    outcomes: Outcomes | None,
    say: Callable[[str], None],
) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    lock = _lock(frame, question, claims)
    _write_json(out / "analysis.lock", lock)
    try:
        results = analyse(
            frame, question, expected=expected, claims=claims, outcomes=outcomes, progress=say
        )
    except TooFewScales as error:
        return _partial(frame, title, out, expected, notes, str(error), lock)
    say("writing tables")
    tables = write_tables(results, out / "tables")
    _write_json(out / "verdict.json", verdict_json(results))
    say("drawing figures")
    figures = _draw(results, out / "figures")
    say("writing index.html")
    return _render(
        out,
        "report.html",
        title=title,
        notes=notes,
        r=results,
        s=sentences,
        w=view_sentences,
        figures=figures,
        tables=tables,
        lock=lock,
        explorer=Markup(explorer_data(results)),
        not_pooled=NOT_POOLED,
        studies=_studies(frame),
        overlay=overlay(frame),
        answer=answer(results),
        depths=depth_table(frame),
        totals=_totals(results.coverage),
        js=_read("explorer.js"),
    )


def _partial(
    frame: pl.DataFrame,
    title: str,
    out: Path,
    expected: pl.DataFrame | None,
    notes: Sequence[str],
    why: str,
    lock: dict[str, Any],
) -> Path:
    """What can be said before there is a slope: which scores exist, and what is missing."""
    coverage = coverage_table(frame, pair_gains(frame), expected)
    folder = out / "tables"
    folder.mkdir(exist_ok=True)
    write_csv(coverage, folder / "t6_design.csv")
    write_csv(missing_cells(frame, expected), folder / "missing_cells.csv")
    _write_json(
        out / "verdict.json",
        {
            "schema": 2,
            "verdict": None,
            "form": "no verdict yet",
            "reasons": [why],
            "answer": asdict(no_answer(why)),
        },
    )
    return _render(
        out,
        "partial.html",
        title=title,
        notes=notes,
        why=why,
        coverage=coverage,
        totals=_totals(coverage),
        s=sentences,
        studies=_studies(frame),
        lock=lock,
    )


def _draw(results: Results, folder: Path) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    figures = []
    with look():
        for item in DRAWINGS:
            drawn = item.draw(results)
            if drawn is None:
                continue
            svg = save(drawn, folder, item.name)
            figures.append(
                {
                    "name": item.name,
                    "title": item.title,
                    "svg": Markup(svg),
                    "wide": item.wide,
                    "caption": caption(item.name, results),
                }
            )
    return figures


def verdict_json(results: Results) -> dict[str, Any]:
    """The verdict for machines.

    Numbers are points unless named otherwise, null where there is no interval.
    """
    v = results.verdict
    return {
        "schema": 2,
        "verdict": v.call,
        "form": v.form,
        "qualifiers": list(v.qualifiers),
        "reasons": list(v.reasons),
        "answer": asdict(answer(results)),
        "population": results.population,
        "x_axis": results.question.x_axis,
        "margin": results.question.margin,
        "slope_points": _plain(results.primary),
        "slope_logit": _plain(results.logit),
        "slope_room": _plain(results.room),
        "by_scale": list(v.by_scale),
        "slope_first_runs": next(
            (e.estimate for e in results.treatments if e.name == INTENDED), None
        ),
        "slope_worst_case": results.worst,
        "ceiling_at_which_it_flips": results.flips,
        "labels": dict(results.labels.iter_rows()),
        "examples": _examples(results),
        "largest_minus_smallest": _plain(results.end),
        "gain_at_smallest": _plain(results.smallest),
        "gain_at_largest": _plain(results.largest),
        "vanished_at_largest": v.vanished,
        "retention": dict(zip(("estimate", "low", "high"), results.retention, strict=True)),
        "resource_interaction": {name: _plain(e) for name, e in results.gammas.items()},
        "shape_test_p": None if results.shapes is None else float(results.shapes.p),
        "robust": v.robust,
        "influence": [asdict(item) for item in results.influence],
        "detectable_slope": results.power.detectable,
        "detectable_slope_interval": results.power.detectable_interval,
        "seeds_to_detect_margin": results.power.seeds_to_detect_margin,
        "seeds_to_affirm_no_change": results.power.seeds_to_affirm,
        "languages": {
            word: results.languages.filter(pl.col("direction") == word)["language"].to_list()
            for word in ("falls", "rises", "undecided")
            if v.claims
        },
        "crossover": _crossover(results),
        "foresight": results.foresight.to_dicts(),
        "claims": [
            {
                "name": c.claim.name,
                "model": c.model,
                "status": c.status,
                "estimate": c.estimate,
                "low": c.low,
                "high": c.high,
            }
            for c in results.claims
        ],
    }


def _examples(results: Results) -> dict[str, Any]:
    """What the verdict speaks of, and what the draw of examples does to the slope in points."""
    items = results.items
    error = items.of("points", "slope") if items is not None else None
    return {
        "estimand": f"on {results.question.examples} examples",
        "item_se": None if error is None or not error.known else error.se,
        "beyond_the_seeds_se": None if error is None or not error.known else error.shared,
        "deciding_items": None if error is None else error.items,
        "scores_without_outcomes": None if items is None else items.missing,
    }


def _crossover(results: Results) -> dict[str, Any] | None:
    """Prices by size, and the scale from which on phase ii is not worth its cost.

    An end beyond the largest size is `beyond`, one below the smallest `below`.
    """
    found = results.crossover
    if found is None:
        return None
    c = found.crossing
    ends = {} if c is None else {"at": c.at, "low": c.low, "high": c.high}
    words = {0.0: "below", math.inf: "beyond"}
    return {
        "unit": found.costs.unit,
        "worth_of_a_point": found.worth,
        "sizes": found.table.to_dicts(),
        **{name: words.get(value, value) for name, value in ends.items()},
    }


def _plain(e: Estimate) -> dict[str, Any]:
    return {
        key: value
        for key, value in asdict(e).items()
        if key not in ("name", "quantity", "scale", "other_low", "other_high")
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(
        json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _finite(value: Any) -> Any:
    """NaN and infinity → null: they are not JSON. Floats to nine digits, so that the file reads."""
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _lock(frame: pl.DataFrame, question: Question, claims: Path | None) -> dict[str, Any]:
    """All that the report depends on: options, data, code and versions, by content."""
    sources = hashlib.sha256()
    for path in sorted(_HERE.rglob("*")):
        if path.suffix in (".py", ".html", ".js", ".css", ".yaml", ".csv"):
            sources.update(path.relative_to(_HERE).as_posix().encode() + b"\0" + path.read_bytes())
    return {
        "question": question.model_dump(mode="json"),
        "rows": len(frame),
        "data_sha256": hashlib.sha256(frame.write_csv().encode()).hexdigest(),
        "claims_sha256": None
        if claims is None
        else hashlib.sha256(claims.read_bytes()).hexdigest(),
        "analysis_sha256": sources.hexdigest(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
    }


def _studies(frame: pl.DataFrame) -> str:
    return ", ".join(frame["study"].unique().sort())


def _totals(coverage: pl.DataFrame) -> dict[str, int]:
    names = ("expected", "found", "missing", "extra", "collapsed", "same_data", "floor", "unpaired")
    return {name: int(coverage[name].sum()) for name in names}


def _read(name: str) -> Markup:
    return Markup((_HERE / "templates" / name).read_text(encoding="utf-8"))


def _render(out: Path, template: str, **values: Any) -> Path:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(css=_read("report.css"), **values)
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    return path
