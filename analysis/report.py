"""The report: one directory that answers the question offline.

Every number in it is traced to its records.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from analysis import links, sentences, view_sentences
from analysis.analyse import analyse
from analysis.answer import answer, no_answer, unfinished_sentence
from analysis.claims import load_claims
from analysis.collapse import label_runs
from analysis.collapsed import CollapsedTrainings, drawn_curves
from analysis.coverage import by_family, check_expected, coverage_table, missing_cells
from analysis.depths import depth_table
from analysis.examples import Outcomes
from analysis.explorer import ONE_FILE, as_json, details_of, write_details
from analysis.families import TOGETHER, agreement, family_notes, slope_signs
from analysis.figures import DRAWINGS
from analysis.figures.captions import caption
from analysis.figures.families import family_curves
from analysis.figures.style import look, save
from analysis.folder import LOCK, replaced
from analysis.gains import NOT_POOLED, pair_gains
from analysis.load import check_tidy
from analysis.origin import Origin
from analysis.panel import TooFewScales
from analysis.published import overlay
from analysis.results import Results
from analysis.scores import early_scores
from analysis.shown import ShownExamples
from analysis.tables import write_csv, write_tables
from analysis.verdict_file import verdict_json, write_json
from scaling.study.question import Question

_HERE = Path(__file__).parent
ROWS = "rows.parquet"
_LONG = ("records", "series")
"""Tables that have a row per series or more: Parquet where a CSV would be too long to open."""
_LIBRARIES = ("numpy", "scipy", "polars", "matplotlib", "jinja2")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What one report is made from: the arguments of `write_report`."""

    frame: pl.DataFrame
    question: Question
    title: str
    out: Path
    expected: pl.DataFrame | None
    notes: Sequence[str]
    claims: Path | None
    outcomes: Outcomes | None
    unfinished: int
    origin: Origin | None
    collapsed: CollapsedTrainings
    say: Callable[[str], None]


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
    unfinished: int = 0,
    origin: Origin | None = None,
    collapsed: CollapsedTrainings | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Writes the report into `out` and returns its index.html.

    Beside it: rows.parquet, figures/, tables/, verdict.json and analysis.lock, from 30,000 rows on
    details/ too. Two families, or two methods, never share a curve: each then gets a report of its
    own below `out`, and index.html lists them. Records that carry no slope yet, and studies that
    are not finished, get a partial report: scores, coverage, and why there is no verdict.
    BadInput (a ValueError) for records or claims that cannot be read, and for an `out` that holds
    files of something else.

    Args:
        frame: Rows of TidyRow.
        question: The population, scale axis and margins that are fixed before the data.
        title: Of the page.
        out: The report's directory; made if it is not there.
        expected: The study's grid (model, arm, target, language, seed) for the coverage table.
        notes: Caveats printed at the top.
        claims: A YAML file (analysis.claims).
        outcomes: Outcomes of single examples by scoring step (analysis.examples); None: not known.
        unfinished: Steps that a run of the study would still do; a verdict waits for them.
        origin: Where data, models and numbers come from and what they cost; None: not known.
        collapsed: Trainings that collapsed, with their curves; None: not known.
        progress: Called with what is done next.
    """
    say = progress or (lambda text: None)
    say("checking rows")
    frame = check_tidy(frame)
    check_expected(expected)
    if claims is not None:
        load_claims(claims)
    with replaced(out) as folder:
        asked = _Asked(
            frame=frame,
            question=question,
            title=title,
            out=folder,
            expected=expected,
            notes=notes,
            claims=claims,
            outcomes=outcomes,
            unfinished=unfinished,
            origin=origin,
            collapsed=collapsed or CollapsedTrainings(),
            say=say,
        )
        frame.write_parquet(folder / ROWS)
        groups = by_family(frame, expected)
        if len(groups) == 1:
            _one(asked)
        else:
            _several(asked, groups)
    return out / "index.html"


def _several(
    asked: _Asked, groups: Sequence[tuple[str, pl.DataFrame, pl.DataFrame | None]]
) -> None:
    """A report of each family and method, and a page with their curves and signs side by side."""
    parts, curves = [], []
    for name, part, grid in groups:
        asked.say(f"report of {name}")
        title = f"{asked.title}: {part['family'][0]}, {part['method'][0]}"
        folder = asked.out / name
        lost = asked.collapsed.of(part["family"][0], part["method"][0])
        found = _one(
            replace(asked, frame=part, expected=grid, title=title, out=folder, collapsed=lost)
        )
        if found is not None:
            backbones = part.select("model", pl.col("backbone_params").cast(pl.Float64)).unique()
            curves.append((name, found, dict(backbones.iter_rows())))
        parts.append(
            {"name": name, **json.loads((folder / "verdict.json").read_text(encoding="utf-8"))}
        )
    signs = slope_signs(parts)
    write_json(asked.out / "verdict.json", {"reports": parts, "signs": signs})
    write_json(asked.out / LOCK, {"reports": [part["name"] for part in parts]})
    drawing = None
    if curves:
        asked.say("drawing figures")
        (asked.out / "figures").mkdir(exist_ok=True)
        with look():
            drawing = Markup(save(family_curves(curves), asked.out / "figures", "families"))
    _render(
        asked,
        "contents.html",
        parts=parts,
        signs=signs,
        together=TOGETHER,
        agreement=agreement(signs),
        drawing=drawing,
        own_notes={name: family_notes(part) for name, part, _ in groups},
    )


def _one(asked: _Asked) -> Results | None:
    """The report of one family and method; None where there is no slope yet."""
    asked = replace(asked, notes=[*asked.notes, *family_notes(asked.frame)])
    frame, out = asked.frame, asked.out
    out.mkdir(parents=True, exist_ok=True)
    lock = _lock(frame, asked.question, asked.claims)
    write_json(out / LOCK, lock)
    if asked.unfinished:
        _partial(asked, unfinished_sentence(asked.unfinished), lock)
        return None
    shown = None if asked.outcomes is None else ShownExamples(asked.outcomes)
    try:
        results = analyse(
            frame,
            asked.question,
            expected=asked.expected,
            claims=asked.claims,
            outcomes=shown,
            progress=asked.say,
        )
    except TooFewScales as error:
        _partial(asked, str(error), lock)
        return None
    asked.say("writing tables")
    tables = write_tables(results, out / "tables")
    write_json(out / "verdict.json", verdict_json(results))
    asked.say("drawing figures")
    figures = _draw(results, out / "figures")
    asked.say("writing index.html")
    details = details_of(results, shown)
    inline = len(frame) < ONE_FILE
    if not inline:
        write_details(details, out / "details")
    _render(
        asked,
        "report.html",
        r=results,
        w=view_sentences,
        b=links,
        figures=figures,
        tables=tables,
        files={stem: name for name in tables if (stem := name.partition(".")[0]) in _LONG},
        lock=lock,
        head=Markup(as_json(details.head)),
        chunks={name: Markup(as_json(chunk)) for name, chunk in details.chunks.items()}
        if inline
        else {},
        not_pooled=NOT_POOLED,
        studies=_studies(frame),
        overlay=overlay(frame),
        answer=answer(results),
        depths=depth_table(frame),
        totals=_totals(results.coverage),
        lost=drawn_curves(asked.collapsed),
        num_lost=len(asked.collapsed.trainings),
        scripts=[_read(name) for name in ("tables.js", "details.js", "explorer.js", "records.js")],
    )
    return results


def _partial(asked: _Asked, why: str, lock: dict[str, Any]) -> None:
    """What can be said before there is a verdict: scores, and what is missing, untested."""
    frame, out = asked.frame, asked.out
    gains = pair_gains(label_runs(frame))
    coverage = coverage_table(frame, gains, asked.expected)
    scores = early_scores(frame, gains)
    folder = out / "tables"
    folder.mkdir(exist_ok=True)
    write_csv(coverage, folder / "t6_design.csv")
    write_csv(scores, folder / "t14_scores.csv")
    write_csv(missing_cells(frame, asked.expected), folder / "missing_cells.csv")
    write_json(
        out / "verdict.json",
        {
            "schema": 2,
            "verdict": None,
            "form": "no verdict yet",
            "family": frame["family"][0],
            "method": frame["method"][0],
            "reasons": [why],
            "answer": asdict(no_answer(why)),
        },
    )
    _render(
        asked,
        "partial.html",
        why=why,
        scores=scores,
        coverage=coverage,
        totals=_totals(coverage),
        lost=drawn_curves(asked.collapsed),
        num_lost=len(asked.collapsed.trainings),
        studies=_studies(frame),
        lock=lock,
        scripts=[_read("tables.js")],
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


def _render(asked: _Asked, template: str, **values: Any) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    common = {"title": asked.title, "notes": asked.notes, "origin": asked.origin, "s": sentences}
    page = environment.get_template(template).render(css=_read("report.css"), **common, **values)
    (asked.out / "index.html").write_text(page, encoding="utf-8")
