"""Results → what an outsider wants to know: who is helped, by how much, and what was left out.

The terminal and the first screen of the report say it in the same words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from analysis.analyse import analyse
from analysis.coverage import by_family, check_expected
from analysis.estimands import Estimate, balanced
from analysis.examples import Outcomes
from analysis.gains import ENGLISH, NOT_POOLED
from analysis.load import check_tidy
from analysis.panel import Panel, TooFewScales
from analysis.results import Results
from analysis.sentences import headline, interval, number, shown_form
from scaling.study.question import Question

_NAMED = 6
"""Up to so many names are written out; more are counted."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of one family and method, in words."""

    name: str
    """Family and method; empty where the records have one of each."""
    form: str
    """The verdict as shown (`sentences.shown_form`); `no verdict yet` where there is no slope."""
    headline: str
    """What the verdict says of the change with scale, or why there is none."""
    qualifiers: tuple[str, ...]
    sentence: str
    """The gain at the smallest and at the largest size; empty where there is no slope."""
    left_out: tuple[str, ...]
    """What is not in it and why, one fact each."""


def answers(
    frame: pl.DataFrame,
    question: Question,
    *,
    expected: pl.DataFrame | None = None,
    outcomes: Outcomes | None = None,
    unfinished: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Answer]:
    """What `write_report` says of the same records, without writing anything.

    BadInput for records that cannot be read.

    Args:
        frame: Rows of TidyRow.
        question: The population, scale axis and margins that are fixed before the data.
        expected: The study's grid (model, arm, target, language, seed).
        outcomes: Outcomes of single examples; read only where the question is about such examples,
            as the words depend on them nowhere else.
        unfinished: Steps that a run of the study would still do; a verdict waits for them.
        progress: Called with what is done next.
    """
    frame = check_tidy(frame)
    check_expected(expected)
    # Resampling draws the bands of single series, which the answer does not show.
    plain = question.model_copy(update={"resamples": 0})
    asked = outcomes if question.examples == "such" else None
    out = []
    for name, part, grid in by_family(frame, expected):
        if unfinished:
            out.append(no_answer(unfinished_sentence(unfinished), name))
            continue
        try:
            found = analyse(part, plain, expected=grid, outcomes=asked, progress=progress)
        except TooFewScales as error:
            out.append(no_answer(str(error), name))
        else:
            out.append(answer(found, name))
    return out


def no_answer(why: str, name: str = "") -> Answer:
    """Of records that carry no slope yet."""
    return Answer(
        name=name, form="no verdict yet", headline=why, qualifiers=(), sentence="", left_out=()
    )


def unfinished_sentence(steps: int) -> str:
    """Why a study that still runs has no verdict."""
    return (
        f"{steps:,} steps of the study are still to be done. A verdict waits for them: one that is"
        " looked at on the way, and stopped at, would be wrong more often than it says."
    )


def answer(results: Results, name: str = "") -> Answer:
    """The answer of results whose intervals are silenced where the study can only be described."""
    return Answer(
        name=name,
        form=shown_form(results),
        headline=headline(results),
        qualifiers=results.verdict.qualifiers,
        sentence=answer_sentence(results),
        left_out=tuple(left_out(results)),
    )


def verdict_panel(results: Results) -> Panel:
    """The balanced panel that the verdict is made of."""
    return balanced(results.panel, _population(results))


def answer_sentence(results: Results) -> str:
    """Who is helped by how much at the smallest and the largest size, of which arms and targets.

    Nothing is said of a sign that no interval supports.
    """
    series = verdict_panel(results).series
    kind = "low-resource" if results.population == "low-resource" else "zero-shot"
    languages = series["language_name"].unique().sort().to_list()
    who = f"{len(languages)} {kind} language{'s' if len(languages) != 1 else ''}"
    if len(languages) <= _NAMED:
        who += f" ({', '.join(languages)})"
    arms = _listed(series["arm"].unique().sort())
    targets = _listed(series["target"].unique().sort(), "and")
    small, large = results.smallest, results.largest
    names = small.sizes.split(", ")
    if results.verdict.call is None:
        return (
            f"After English intermediate training on {arms}, the mean score of {who} on {targets}"
            f" differs by {number(small.estimate, 2, True)} points at the smallest size"
            f" ({names[0]}) and by {number(large.estimate, 2, True)} points at the largest"
            f" ({names[-1]}) from that without it; how sure this is cannot be said."
        )
    return (
        f"English intermediate training on {arms} {_effect(small)} {who} on {targets} at the"
        f" smallest size ({names[0]}): {_points(small)}. At the largest ({names[-1]}) it"
        f" {_effect(large)} them: {_points(large)}."
    )


_FLAGS = ("pooled", "same_data", "collapsed")


def left_out(results: Results) -> list[str]:
    """What is not part of the verdict, with the reason and how much of it there is."""
    needed = ("arm", "role", "target", "language", "model", "low", *_FLAGS)
    zero_shot = results.gains.lazy().filter(pl.col("language") != ENGLISH)
    gains = zero_shot.select(needed).collect()
    within = gains.filter(_population(results))
    out = []
    if len(gains) < len(results.gains):
        out.append("English, which phase ii is trained in")
    others = gains.filter(~_population(results))["language"].n_unique()
    if others:
        what = "languages that are" if others > 1 else "language that is"
        out.append(f"{others} {what} not low-resource: shown on their own")
    out += _arms(gains)
    same = within.filter(pl.col("same_data") & pl.col("pooled"))
    pairs = same.select("arm", "target").unique().sort("arm", "target").rows()
    if pairs:
        named = _listed([f"{arm} on {target}" for arm, target in pairs], "and")
        out.append(f"{named}: both phases train on the same data")
    sizes = results.primary.sizes.split(", ")
    labels = [label for label in results.sizes["label"] if label not in sizes]
    if labels:
        out.append(f"{', '.join(labels)}: too few series have scores there")
    out += _lost_series(results, within)
    missing = int(results.coverage["missing"].sum())
    if missing:
        out.append(f"{missing:,} of {int(results.coverage['expected'].sum()):,} scores: not there")
    return out


def _arms(gains: pl.DataFrame) -> list[str]:
    by_role: dict[str, list[str]] = defaultdict(list)
    arms = gains.filter(~pl.col("pooled")).select("role", "arm").unique().sort("role", "arm")
    for role, arm in arms.iter_rows():
        by_role[role].append(arm)
    return [
        f"{_listed(arms, 'and')}: {NOT_POOLED.get(role, role)}" for role, arms in by_role.items()
    ]


def _lost_series(results: Results, within: pl.DataFrame) -> list[str]:
    """Series of arms that count, of languages that count, which are not in the verdict's panel."""
    key = ["arm", "target", "language"]
    kept = verdict_panel(results)
    runs = (
        within.filter(pl.col("pooled") & ~pl.col("same_data"))
        .join(kept.series.select(key), on=key, how="anti")
        .group_by(*key, "model")
        .agg((~pl.col("collapsed")).sum().alias("healthy"), pl.col("collapsed").sum().alias("lost"))
        .sort(*key, "model")
    )
    found: dict[tuple[str, str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for arm, target, language, model, healthy, lost in runs.iter_rows():
        found[arm, target, language][model] = healthy, lost
    grouped: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for (arm, target, language), by_model in found.items():
        why = _why_lost(by_model, kept)
        grouped[arm, why].append((target, language))
    out = []
    for (arm, why), members in grouped.items():
        targets = _listed(sorted({target for target, _ in members}), "and")
        languages = len({language for _, language in members})
        out.append(
            f"{arm} on {targets} in {languages} language{'s' if languages != 1 else ''}: {why}"
        )
    return out


def _why_lost(by_model: dict[str, tuple[int, int]], kept: Panel) -> str:
    """In which size a series lacks healthy runs.

    Args:
        by_model: Healthy and collapsed runs of the series by model.
        kept: The panel that the series is not in.
    """
    counts = [by_model.get(model, (0, 0)) for model in kept.models]
    fewest = min(healthy for healthy, _ in counts)
    at = [i for i, (healthy, _) in enumerate(counts) if healthy == fewest]
    where = ", ".join(kept.labels[i] for i in at)
    lost = sum(counts[i][1] for i in at)
    total = sum(sum(counts[i]) for i in at)
    runs = f"{lost} of {total} runs collapsed" if lost else "scores are missing"
    if fewest == 0:
        return f"no healthy run at {where} ({runs})"
    return f"{fewest} healthy run{'s' if fewest != 1 else ''} at {where} ({runs})"


def _population(results: Results) -> pl.Expr:
    return pl.col("low") if results.population == "low-resource" else pl.lit(True)


def _listed(names: Iterable[str], word: str = "or") -> str:
    """Names for prose; a count and the first ones where they are many."""
    all_names = list(names)
    if len(all_names) > _NAMED:
        return f"{', '.join(all_names[: _NAMED - 1])} {word} {len(all_names) - _NAMED + 1} more"
    head, last = all_names[:-1], all_names[-1]
    return f"{', '.join(head)} {word} {last}" if head else last


def _effect(e: Estimate) -> str:
    return {1: "helped", 0: "made no measurable difference to", -1: "harmed"}[e.sign]


def _points(e: Estimate) -> str:
    return f"{number(e.estimate, 2, True)} points (95 % interval {interval(e.low, e.high)})"
