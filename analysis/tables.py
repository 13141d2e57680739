"""Tables T1–T6 as CSV and as LaTeX (booktabs), and the record of every gain."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from analysis.behind import with_reasons
from analysis.estimands import table as estimate_table
from analysis.results import Results

CSV_BYTES = 10_000_000
"""Spreadsheets and editors give up on longer ones."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the report."""

    name: str
    caption: str
    frame: pl.DataFrame


def all_tables(results: Results) -> list[Table]:
    """Every table of the report; numbers are points unless the caption says otherwise."""
    return [
        Table(
            name="t1_gain_by_size_and_task",
            frame=results.pairs,
            caption=(
                "Gain by size, intermediate task (arm) and target task, points, with 95 % intervals"
                " over replicas; zero-shot languages only. Rows `slope` are per tenfold scale."
            ),
        ),
        Table(
            name="t2_languages",
            frame=_languages(results),
            caption=(
                "Gain by language and size, slope per tenfold scale with its 95 % interval, shrunk"
                " slope (eb) and q-values within the low-resource languages."
            ),
        ),
        Table(
            name="t3_variance_ledger",
            frame=_ledger(results),
            caption="Where the noise of a gain comes from: standard deviations in points.",
        ),
        Table(
            name="t4_sensitivities",
            frame=_sensitivities(results),
            caption=(
                "The low-resource slope under other specifications and treatments, 95 % intervals."
            ),
        ),
        Table(
            name="t5_collapse",
            frame=results.collapse,
            caption="Collapsed runs by arm and size, Wilson 95 % intervals.",
        ),
        Table(
            name="t6_design",
            frame=results.coverage,
            caption="Scores expected and found, by model, arm and target.",
        ),
        Table(
            name="t7_pooled",
            frame=estimate_table([e for one in results.estimates.values() for e in one]),
            caption="Pooled slopes, gains at the outer sizes and their difference, on five scales.",
        ),
        Table(
            name="t8_size_means",
            frame=results.means,
            caption="Mean gain at each size, points, 95 % intervals.",
        ),
        Table(
            name="t14_scores",
            frame=results.scores,
            caption=(
                "Mean scores (0 to 100) by target, intermediate task and model, over zero-shot"
                " languages and seeds, with English and published means beside; collapsed runs are"
                " left out."
            ),
        ),
        Table(
            name="t9_curves",
            frame=results.curves,
            caption=(
                "Mean gain of the verdict's languages at each size beside the curves fitted to it,"
                " points."
            ),
        ),
        *_where_known(results),
        *_views(results),
        Table(
            name="missing_cells", frame=results.missing, caption="Expected cells that lack scores."
        ),
        Table(name="claims", frame=_claims(results), caption="Claims checked at every size."),
        Table(name="series", frame=results.series, caption="Every (arm, target, language)."),
    ]


def _where_known(results: Results) -> list[Table]:
    """What single examples and doses say, in studies that have them."""
    doses = Table(
        name="t11_doses",
        frame=results.doses,
        caption=(
            "Slope of the gain per tenfold dose of one intermediate task, points; doses are FLOPs"
            " of phase ii."
        ),
    )
    out = [doses] if len(results.doses) else []
    if results.items is None:
        return out
    return [
        *out,
        Table(
            name="t10_signal",
            frame=results.items.signal,
            caption=(
                "What a target and language can tell, points: the slope with its standard errors"
                " over seeds and over draws of examples, and the spread of its gains (signal)"
                " against the error of one (noise). Too few: fewer than 8 examples differ."
            ),
        ),
        Table(
            name="gain_errors",
            frame=results.items.gains,
            caption="Every mean gain with its errors over seeds and over draws of examples.",
        ),
    ]


def records_table(results: Results) -> pl.DataFrame:
    """One row per gain with the steps whose records hold its two scores.

    `pooled`: it entered the verdict's mean; `left_out`: why it did not.
    """
    return (
        with_reasons(results)
        .select(
            "model",
            "arm",
            "target",
            "language",
            "seed",
            "metric",
            "value",
            "baseline",
            "against",
            "points",
            "logit",
            "collapsed",
            "same_data",
            "floor",
            "pooled",
            "left_out",
            "step",
            "step_none",
        )
        .sort("model", "arm", "target", "language", "seed")
    )


def write_csv(frame: pl.DataFrame, path: Path) -> None:
    """A table for spreadsheets, which take text that begins with = + - @ for a formula.

    Such cells and column names, where they are no numbers, get an apostrophe in front. The rows
    themselves are in Parquet, as they are.
    """

    def defused(text: pl.Expr) -> pl.Expr:
        is_formula = text.str.contains(r"^[=+\-@\t\r]")
        is_number = text.str.contains(r"^[+-]?[0-9]+(\.[0-9]*)?$")
        return pl.when(is_formula & ~is_number).then(text.str.replace("^", "'")).otherwise(text)

    names = pl.Series(frame.columns)
    safe = names.to_frame("name").select(defused(pl.col("name")))["name"]
    frame.with_columns(defused(pl.col(pl.String))).rename(
        dict(zip(frame.columns, safe, strict=True))
    ).write_csv(path, float_precision=6)


def write_tables(results: Results, folder: Path) -> list[str]:
    """NAME.csv (`_write_long`) for all, NAME.tex for those that a paper prints.

    Returns the file names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for item in all_tables(results):
        names.append(_write_long(item.frame, folder, item.name))
        if item.name.startswith("t"):
            (folder / f"{item.name}.tex").write_text(latex(item), encoding="utf-8")
            names.append(f"{item.name}.tex")
    return [*names, _write_long(records_table(results), folder, "records")]


def _write_long(frame: pl.DataFrame, folder: Path, name: str) -> str:
    """NAME.csv, or NAME.parquet where a CSV would be over `CSV_BYTES`; the file's name."""
    path = folder / f"{name}.csv"
    write_csv(frame, path)
    if path.stat().st_size <= CSV_BYTES:
        return path.name
    path.unlink()
    frame.write_parquet(path.with_suffix(".parquet"))
    return f"{name}.parquet"


def _views(results: Results) -> list[Table]:
    """Prices, languages that gain together, and foresight."""
    out = []
    if results.crossover is not None:
        unit = results.crossover.costs.unit
        out.append(
            Table(
                name="t12_price",
                frame=results.crossover.table,
                caption=(
                    f"Cost of one phase-ii training ({unit}), the mean gain that it buys (points)"
                    " and the price of a point, with 95 % intervals; next size: of a point by the"
                    " next larger model."
                ),
            )
        )
    if results.co_gains is not None:
        out.append(
            Table(
                name="co_gains",
                frame=results.co_gains.table(),
                caption="Correlations of the gains of two languages, jackknife standard errors.",
            )
        )
    foresight = Table(
        name="t13_foresight",
        frame=results.foresight,
        caption=(
            "Choices at each size against those of the largest: shares that agree, and points lost"
            " there by the best arm of this size."
        ),
    )
    return [*out, foresight]


def _languages(results: Results) -> pl.DataFrame:
    labels = {f"gain_{i}": f"gain {label}" for i, label in enumerate(results.panel.labels)}
    keep = [
        "language",
        "language_name",
        "tier",
        "pretraining_text",
        "text_unit",
        "low_resource",
        *labels,
        "slope",
        "over_span",
        "low",
        "high",
        "eb",
        "eb_low",
        "eb_high",
        "false_sign",
        "p",
        "q",
        "direction",
    ]
    return results.languages.select(keep).rename(labels)


def _ledger(results: Results) -> pl.DataFrame:
    rows = [
        {"component": name, "sd": math.sqrt(value)}
        for name, value in asdict(results.ledger).items()
    ]
    rows.append({"component": "replica mean (all together)", "sd": results.power.replica_sd})
    rows.append({"component": "intra-run correlation of languages", "sd": results.icc})
    return pl.DataFrame(rows)


def _sensitivities(results: Results) -> pl.DataFrame:
    specs = results.specifications.select(
        pl.concat_str("axis", "definition", "scale", separator=", ").alias("analysis"),
        "estimate",
        "low",
        "high",
        "over_span",
    ).with_columns(pl.lit(None, dtype=pl.Float64).alias("p"))
    others = [
        {"analysis": e.name, "estimate": e.estimate, "low": e.low, "high": e.high}
        | {"over_span": e.over_span, "p": e.p}
        for e in results.treatments
    ]
    return pl.concat([specs, pl.DataFrame(others, schema=specs.schema)])


def _claims(results: Results) -> pl.DataFrame:
    columns = ["claim", "model", "status", "estimate", "low", "high", "detail", "source"]
    rows = [
        (c.claim.name, c.model, c.status, c.estimate, c.low, c.high, c.detail, c.claim.source)
        for c in results.claims
    ]
    floats = {name: pl.Float64 for name in ("estimate", "low", "high")}
    return pl.DataFrame(
        rows, schema={name: floats.get(name, pl.String) for name in columns}, orient="row"
    )


_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "±": r"$\pm$",
}


def escape(text: str) -> str:
    """Text for LaTeX."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def latex(item: Table) -> str:
    """A complete `table` environment for booktabs and graphicx. Missing numbers are `--`.

    What would not fit a page is a part of the CSV: see `_for_paper`.
    """
    item = _for_paper(item)
    frame = item.frame
    align = "".join("r" if dtype.is_numeric() else "l" for dtype in frame.dtypes)
    head = " & ".join(escape(name.replace("_", " ")) for name in frame.columns)
    body = "\n".join(
        " & ".join(_cell(value) for value in row) + r" \\" for row in frame.iter_rows()
    )
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs,graphicx}. Written by the analysis: do not edit.",
            r"\begin{table}",
            r"\centering",
            r"\scriptsize",
            rf"\caption{{{escape(item.caption)}}}",
            rf"\label{{tab:{item.name}}}",
            # No wider than the column, whichever that is.
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


PAGE_ROWS = 45
"""Rows that a page takes at this size of type."""


def _for_paper(item: Table) -> Table:
    """The table that is printed of a longer one, which its caption says."""
    frame, note = item.frame, ""
    if len(frame) <= PAGE_ROWS:
        return item
    if {"arm", "target", "model", "estimate"} <= set(frame.columns):
        slopes = frame.filter(pl.col("model") == "slope")
        frame = slopes.pivot("target", index="arm", values="estimate").head(PAGE_ROWS)
        note = "Slopes per tenfold scale alone, a column a target."
    elif {"language_name", "slope"} <= set(frame.columns):
        half = PAGE_ROWS // 2
        ordered = frame.filter(pl.col("slope").is_not_nan()).sort("slope", "language")
        frame = pl.concat([ordered.head(half), ordered.tail(half)])
        note = f"The {half} lowest and the {half} highest slopes."
    else:
        frame = frame.head(PAGE_ROWS)
        note = f"The first {PAGE_ROWS} rows."
    whole = f"{item.caption} {note} All {len(item.frame):,} rows are in {item.name} of the report."
    return Table(name=item.name, caption=whole, frame=frame)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "--"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        text = f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"
        return f"${text}$" if text.startswith("-") else text
    return escape(str(value))
