"""scaling rates: whether one learning rate serves all sizes."""

from __future__ import annotations

from rich.table import Table

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all
from scaling.spec import BadFile


@app.command()
def rates(study: StudyArgument, store: StoreOption = "") -> None:
    """A check of learning rates (`learning_rates` in a study file): English dev by size and rate,
    what to paste.
    """
    from scaling.planning.rates import choose, rate_lines, rate_scores, recipe_lines

    spec, place, whole = load_all(study, store)
    if not spec.learning_rates:
        raise BadFile(
            f"{study}: no `learning_rates`: a check is a study file of its own, see docs/recipes.md"
        )
    scores = rate_scores(whole, place)
    table = Table(
        title=f"{spec.name}: English dev score by learning rate, {len(spec.seeds)} trial(s) each"
    )
    for name in ("task", "size", *(f"{rate:g}" for rate in spec.learning_rates)):
        table.add_column(name, justify="left" if name in ("task", "size") else "right")
    for task in spec.trained_tasks:
        for model in spec.models:
            cells = {one.rate: one for one in scores if one.task == task and one.model == model}
            shown = []
            for rate in spec.learning_rates:
                one = cells[rate]
                text = f"{100 * one.score:.1f}" if one.scores else "-"
                text += f" ({one.collapsed} collapsed)" if one.collapsed else ""
                shown.append(
                    text
                    if len(one.scores) == one.planned
                    else f"{text} [{len(one.scores)}/{one.planned}]"
                )
            table.add_row(task, spec.model(model).label or model, *shown)
    console.print(table)
    choices = choose(scores)
    for line in rate_lines(choices):
        console.print(f"· {line}", soft_wrap=True)
    left = [task for task in spec.trained_tasks if task not in {one.task for one in choices}]
    if left:
        console.print(f"· not chosen yet, trials are missing: {', '.join(left)}", soft_wrap=True)
    for line in recipe_lines(choices):
        console.print(line, soft_wrap=True)
