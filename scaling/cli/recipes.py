"""scaling recipes · rates: the numbers of the trainings, their sources, and whether one rate serves
all sizes.
"""

from __future__ import annotations

from rich.table import Table

from scaling.cli.app import StudyArgument, app, console
from scaling.study.study import load_study


@app.command()
def recipes(study: StudyArgument) -> None:
    """Every number of every training, with its source."""
    spec = load_study(study)
    table = Table(title=f"{spec.name}: recipes, equal at all sizes (protocol {spec.protocol})")
    for name in ("task", "field", "value", "source"):
        table.add_column(name)
    for task in spec.used_tasks:
        sources = spec.recipe_sources(task)
        for at, (name, value) in enumerate(spec.recipe(task).model_dump().items()):
            shown = f"{value:g}" if isinstance(value, float) else str(value) or "-"
            table.add_row(task if at == 0 else "", name, shown, sources[name])
        table.add_section()
    console.print(table)
