"""scaling predictions: single test examples of a scoring, with their texts."""

from __future__ import annotations

import io
from typing import Annotated, Any

import typer

from scaling.cli.app import (
    JsonOption,
    StoreOption,
    StudyArgument,
    app,
    begun_study,
    console,
    step_called,
)
from scaling.cli.verdict import OUTCOMES
from scaling.spec import UserError, known
from scaling.store.store import Store
from scaling.study.steps import Plan, Step


@app.command()
def predictions(
    name: StudyArgument,
    part: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="A scoring, or a training that has one: its id, or any part that is unique.",
        ),
    ],
    language: Annotated[str, typer.Option(help="A test language of the step.")],
    uri: StoreOption = "",
    wrong: Annotated[bool, typer.Option("--wrong", help="Only what is not all right.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what a scored step said on single test examples, beside their texts.

    The texts come from the staged rows of the store; they are test data, for your eyes.
    """
    import polars as pl

    from analysis.shown import example_outcome

    study, store, plan = begun_study(name, uri)
    step = _scoring(plan, plan.steps[step_called(plan, part)])
    found = _outcomes(store, plan, step)
    languages = sorted(key.removeprefix("test.") for key in found["key"].unique())
    known("language", language, languages)
    of_language = found.filter(pl.col("key") == f"test.{language}")
    outcome = example_outcome(of_language.columns)
    if outcome is None:
        raise UserError(f"the outcomes of {step.id} hold no score of single examples")
    scored = of_language.with_columns(outcome.fill_null(0.0).alias("_outcome"))
    kept = scored.filter(pl.col("_outcome") < 1) if wrong else scored
    texts = _texts(store, plan, step, language)
    shown = [_example(row, texts) for row in kept.head(limit).iter_rows(named=True)]
    if as_json:
        from scaling.cli.outputs import Prediction, PredictionsOutput, print_json

        print_json(
            PredictionsOutput(
                study=study.name,
                store=store.uri,
                step=step.id,
                task=step.task,
                language=language,
                wrong=wrong,
                scored=len(scored),
                matching=len(kept),
                examples=[Prediction(**one) for one in shown],
            )
        )
        return
    what = "wrong" if wrong else "scored"
    console.print(
        f"{step.id}: {step.task} in {language}, {len(kept):,} {what} of {len(scored):,} examples"
        + (f", the first {len(shown):,}" if len(shown) < len(kept) else ""),
        soft_wrap=True,
    )
    for one in shown:
        console.print(f"\n{one['id']}  outcome {one['outcome']:g}", soft_wrap=True)
        console.print(f"  predicted  {one['prediction']}", soft_wrap=True)
        for field, value in (one["predicted_row"] or {}).items():
            console.print(f"    {field}  {value}", soft_wrap=True)
        for field, value in (one["row"] or {}).items():
            if value in ("", None):
                continue
            console.print(f"  {field}  {value}", soft_wrap=True)


def _scoring(plan: Plan, step: Step) -> Step:
    """The step, or of a training its one scoring; UserError says what to name instead."""
    if step.phase == "eval":
        return step
    scorings = [child for child in plan.children_of(step.id) if child.startswith("eval.")]
    if len(scorings) == 1:
        return plan.steps[scorings[0]]
    instead = f"; name one of {', '.join(scorings[:4])}" if scorings else ""
    raise UserError(f"{step.id} trains, and scores no test example{instead}")


def _outcomes(store: Store, plan: Plan, step: Step) -> Any:
    """A scoring's table of outcomes; UserError says what is missing."""
    import polars as pl

    if not store.is_done(step.id):
        raise UserError(f"{step.id} is not done: `scaling run` scores it")
    record = store.record(step.id)
    if OUTCOMES not in record.files:
        raise UserError(f"{step.id} has no {OUTCOMES}: it was scored before there was one")
    return pl.read_parquet(io.BytesIO(store.read_file(record, OUTCOMES)))


def _texts(store: Store, plan: Plan, step: Step, language: str) -> dict[str, dict[str, Any]]:
    """Staged rows of the test split by id."""
    from scaling.catalogue.task import Key
    from scaling.data.rows import read_table

    key = Key("test", language)
    expected = plan.lock.data.get(step.task, {}).get(str(key))
    if expected is None:
        raise UserError(
            f"{store.uri} has no staged rows of {step.task} in {language}: `scaling stage` reads"
            " them"
        )
    rows = read_table(store, step.task, key, expected).to_pylist()
    return {row["id"]: {field: row[field] for field in row if field != "id"} for row in rows}


def _example(row: dict[str, Any], texts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    prediction = str(row.get("prediction", ""))
    rest = ("key", "id", "prediction", "_outcome")
    return {
        "id": row["id"],
        "prediction": prediction,
        "outcome": row["_outcome"],
        "scores": {name: value for name, value in row.items() if name not in rest},
        "row": texts.get(row["id"]),
        # What is retrieved is another row of the split.
        "predicted_row": texts.get(prediction),
    }
