"""scaling gc: what the store can do without."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all
from scaling.store.garbage import GROUPS, Garbage


@app.command()
def gc(
    study: StudyArgument,
    store: StoreOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete weights, resume points, attempts, leases and caches that nothing needs. Says first
    what it would free.
    """
    from scaling.store.garbage import find_garbage, free

    _, place, whole = load_all(study, store)
    found = find_garbage(whole, place)
    if not found:
        console.print(f"nothing to free in {place.uri}", soft_wrap=True)
        return
    console.print(garbage_table(found, place.uri))
    if not yes and not sys.stdin.isatty():
        console.print("nothing deleted; give --yes to delete it")
        return
    if yes or typer.confirm("Delete?"):
        freed = free(found, whole, place)
        console.print(
            f"freed {sum(item.num_bytes for item in freed) / 1e6:,.1f} MB in {len(freed):,} places"
        )
        if len(freed) < len(found):
            console.print(
                f"kept {len(found) - len(freed):,} places: somebody began to work there meanwhile"
            )


def garbage_table(found: Sequence[Garbage], uri: str) -> Table:
    """Group: what `scaling gc` would delete, places and bytes."""
    table = Table(title=f"{uri} can do without")
    for name in ("what", "places", "MB"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for group, words in GROUPS.items():
        items = [item for item in found if item.group == group]
        if items:
            table.add_row(
                words, f"{len(items):,}", f"{sum(item.num_bytes for item in items) / 1e6:,.1f}"
            )
    table.add_section()
    table.add_row("all", f"{len(found):,}", f"{sum(item.num_bytes for item in found) / 1e6:,.1f}")
    return table
