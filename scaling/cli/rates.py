"""scaling rates: whether one learning rate serves all sizes."""

from __future__ import annotations

from scaling.cli.app import JsonOption, StoreOption, StudyArgument, app, console, open_study
from scaling.cli.tables import FoldedTable
from scaling.spec import BadFile


@app.command()
def rates(name: StudyArgument, uri: StoreOption = "", as_json: JsonOption = False) -> None:
    """A check of `learning_rates`: English dev by size and rate, and what to paste."""
    from scaling.planning.rates import choose, rate_lines, rate_scores, recipe_lines

    study, store, plan = open_study(name, uri)
    if not study.learning_rates:
        raise BadFile(
            f"{name}: no `learning_rates`: a check is a study file of its own, see docs/recipes.md"
        )
    scores = rate_scores(plan, store)
    choices = choose(scores)
    left = [task for task in study.trained_tasks if task not in {choice.task for choice in choices}]
    if as_json:
        from scaling.cli.outputs import RateScoreOutput, RatesOutput, print_json

        print_json(
            RatesOutput(
                study=study.name,
                store=store.uri,
                scores=[
                    RateScoreOutput(
                        task=score.task,
                        model=score.model,
                        rate=score.rate,
                        scores=list(score.scores),
                        mean=score.score if score.scores else None,
                        error=score.error if score.scores else None,
                        collapsed=score.collapsed,
                        planned=score.planned,
                    )
                    for score in scores
                ],
                choices=choices,
                missing=left,
                paste=recipe_lines(choices),
            )
        )
        return
    tried = [f"{rate:g}" for rate in study.learning_rates]
    table = FoldedTable(
        ("task", "size", *tried),
        title=f"{study.name}: English dev score by learning rate,"
        f" {len(study.all_seeds)} trial(s) each",
        right=tried,
    )
    for task in study.trained_tasks:
        for model in study.models:
            by_rate = {
                score.rate: score for score in scores if score.task == task and score.model == model
            }
            shown = []
            for rate in study.learning_rates:
                score = by_rate[rate]
                text = f"{100 * score.score:.1f}" if score.scores else "-"
                text += f" ({score.collapsed} collapsed)" if score.collapsed else ""
                shown.append(
                    text
                    if len(score.scores) == score.planned
                    else f"{text} [{len(score.scores)}/{score.planned}]"
                )
            table.add_row(task, study.model(model).label or model, *shown)
    console.print(table)
    for line in rate_lines(choices):
        console.print(f"· {line}", soft_wrap=True)
    if left:
        console.print(f"· not chosen yet, trials are missing: {', '.join(left)}", soft_wrap=True)
    for line in recipe_lines(choices):
        console.print(line, soft_wrap=True)
