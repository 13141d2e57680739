"""scaling recipes: the numbers of the trainings and their sources."""

from __future__ import annotations

from scaling.cli.app import JsonOption, StudyArgument, app, console
from scaling.cli.tables import FoldedTable
from scaling.study.study import Study, load_study


@app.command()
def recipes(name: StudyArgument, as_json: JsonOption = False) -> None:
    """Every number of every training, with its source."""
    study = load_study(name)
    if as_json:
        _print_json(study)
        return
    table = FoldedTable(
        ("task", "field", "value", "source"),
        title=f"{study.name}: recipes, equal at all sizes (protocol {study.protocol})",
    )
    for task in study.used_tasks:
        sources = study.recipe_sources(task)
        for at, (field, value) in enumerate(study.recipe(task).model_dump().items()):
            shown = f"{value:g}" if isinstance(value, float) else str(value) or "-"
            table.add_row(task if at == 0 else "", field, shown, sources[field])
        table.add_section()
    console.print(table)


def _print_json(study: Study) -> None:
    """Print all of it as one object."""
    from scaling.cli.outputs import RecipeField, RecipesOutput, TaskRecipe, print_json

    tasks = []
    for task in study.used_tasks:
        sources = study.recipe_sources(task)
        numbers = study.recipe(task).model_dump(mode="json").items()
        fields = [
            RecipeField(field=key, value=value, source=sources[key]) for key, value in numbers
        ]
        tasks.append(TaskRecipe(task=task, fields=fields))
    print_json(RecipesOutput(study=study.name, protocol=study.protocol, tasks=tasks))
