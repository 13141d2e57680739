"""scaling recipes: the numbers of the trainings and their sources."""

from __future__ import annotations

from scaling.cli.app import StudyArgument, app, console
from scaling.cli.tables import FoldedTable
from scaling.study.study import load_study


@app.command()
def recipes(name: StudyArgument) -> None:
    """Every number of every training, with its source."""
    study = load_study(name)
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
