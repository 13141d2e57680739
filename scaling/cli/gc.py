"""scaling gc: what the store can do without."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scaling.cli.app import StoreOption, StudyArgument, app, console, load_all


@app.command()
def gc(
    study: StudyArgument,
    store: StoreOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete weights, resume points, attempts, leases and caches that nothing needs. Says first
    what it would free.
    """
    from scaling.show import garbage_table
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
