"""scaling verdict: the answer of a study, in the terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.cli.app import (
    JsonOption,
    StoreOption,
    StudyArgument,
    app,
    begun_study,
    console,
    working,
)
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.steps import Plan

if TYPE_CHECKING:
    import polars as pl

    from analysis.examples import Outcomes

OUTCOMES = "outcomes.parquet"
NOTHING = "no cell of the study has a score yet"


@app.command()
def verdict(
    name: StudyArgument,
    uri: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """What the study says so far: who is helped, by how much, and what was left out.

    The same words as in its report. Exit code 0 whatever they say.
    """
    _, store, plan = begun_study(name, uri)
    found = study_answers(plan, store)
    if as_json:
        from scaling.cli.outputs import AnswerOutput, VerdictOutput, print_json

        said = [AnswerOutput.model_validate(one) for one in found]
        print_json(VerdictOutput(study=plan.study.name, store=store.uri, answers=said))
        return
    show_answers(plan.study.name, found)
    show_report(store)


def study_answers(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """Fields of `analysis.answer.Answer`, one of each family and method; counts as a look.

    UserError for rows that cannot be read.
    """
    from dataclasses import asdict

    from scaling.store.pending import unfinished_steps
    from scaling.store.registration import look
    from scaling.store.tidy import ROWS, write_rows

    scan = store.scan()
    done = scan.done
    rows = write_rows(plan, store) if any(cell.scored in done for cell in plan.cells) else 0
    if not rows:
        from analysis.answer import no_answer

        return [asdict(no_answer(NOTHING))]
    import polars as pl

    from analysis.answer import answers

    content = store.read(ROWS)
    look(store, content)
    records = store.records(step for step in plan.steps if step in done)
    with working("verdict") as say, plan.study.known_languages():
        found = answers(
            pl.read_parquet(io.BytesIO(content)),
            plan.study.question,
            expected=expected_cells(plan),
            outcomes=stored_outcomes(store, records),
            unfinished=len(unfinished_steps(plan, scan)),
            progress=lambda what: say(f"verdict: {what}"),
        )
    return [asdict(one) for one in found]


def expected_cells(plan: Plan) -> pl.DataFrame:
    """The study's grid: model, arm, target, seed, language."""
    import polars as pl

    return pl.DataFrame(
        [
            {"model": cell.model, "arm": cell.arm, "target": cell.target, "seed": cell.seed}
            | {"language": code}
            for cell in plan.cells
            for code in plan.study.test_languages(cell.target)
        ]
    )


def stored_outcomes(store: Store, records: Mapping[str, StepRecord]) -> Outcomes:
    """Outcomes of single examples by scoring step; None for steps of other stores (`--also`)."""
    import polars as pl

    def outcomes(step: str) -> pl.DataFrame | None:
        if step not in records or OUTCOMES not in records[step].files:
            return None
        content = io.BytesIO(store.read_file(records[step], OUTCOMES))
        return pl.read_parquet(content)

    return outcomes


def show_answers(study: str, found: list[dict[str, Any]]) -> None:
    """Print what `study_answers` found."""
    for one in found:
        name = f"{study}, {one['name']}" if one["name"] else study
        form, notes = one["form"], "".join(f" [{note}]" for note in one["qualifiers"])
        console.print(f"{name}: {form[:1].upper()}{form[1:]}{notes}", soft_wrap=True)
        for line in (one["headline"], one["sentence"]):
            if line:
                console.print(line, soft_wrap=True)
        for line in one["left_out"]:
            console.print(f"· left out: {line}", soft_wrap=True)


def show_report(store: Store | None, index: Path | None = None) -> None:
    """Print where the report is, as an address for a browser.

    Args:
        store: Whose report lies in its own folder if it lies anywhere; None: there is no store.
        index: The page that was just written; None looks for an earlier one.
    """
    if index is None and store is not None and store.local is not None:
        index = store.local / "report" / "index.html"
        if not index.is_file():
            index = None
    if index is not None:
        console.print(f"report: {index.resolve().as_uri()}", soft_wrap=True)
