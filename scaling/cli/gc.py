"""scaling gc: what the store can do without."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from scaling.cli.app import JsonOption, StoreOption, StudyArgument, app, console, open_study
from scaling.cli.tables import FoldedTable
from scaling.store.garbage import GROUPS, Garbage


@app.command()
def gc(
    name: StudyArgument,
    uri: StoreOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what nothing needs (weights, resume points, attempts, leases, caches), then delete it."""
    from scaling.store.garbage import find_garbage, free

    study, store, plan = open_study(name, uri)
    garbage = find_garbage(plan, store)
    if as_json:
        _print_json(study.name, store.uri, garbage, free(garbage, plan, store) if yes else [])
        return
    if store.unfinished() is None:
        console.print(
            "uploads that were never ended cannot be listed here: have the bucket end them itself"
            " (on S3 the rule AbortIncompleteMultipartUpload, after 2 days)",
            soft_wrap=True,
        )
    if not garbage:
        console.print(f"nothing to free in {store.uri}", soft_wrap=True)
        return
    console.print(garbage_table(garbage, store.uri))
    if not yes and not sys.stdin.isatty():
        console.print("nothing deleted; give --yes to delete it")
        return
    if yes or typer.confirm("Delete?"):
        freed = free(garbage, plan, store)
        console.print(
            f"freed {sum(item.num_bytes for item in freed) / 1e6:,.1f} MB in {len(freed):,} places"
        )
        if len(freed) < len(garbage):
            console.print(
                f"kept {len(garbage) - len(freed):,} places: somebody began to work there meanwhile"
            )


def _print_json(name: str, uri: str, garbage: Sequence[Garbage], freed: Sequence[Garbage]) -> None:
    """Print all of it as one object.

    Args:
        name: Of the study.
        uri: Of its store.
        garbage: What can go.
        freed: What went.
    """
    from scaling.cli.outputs import FreedGroup, GcOutput, print_json

    groups = []
    for group, words in GROUPS.items():
        items = [item for item in garbage if item.group == group]
        size = sum(item.num_bytes for item in items)
        groups.append(FreedGroup(group=group, what=words, places=len(items), bytes=size))
    print_json(
        GcOutput(
            study=name,
            store=uri,
            groups=groups,
            places=len(garbage),
            bytes=sum(item.num_bytes for item in garbage),
            freed_places=len(freed),
            freed_bytes=sum(item.num_bytes for item in freed),
        )
    )


def garbage_table(garbage: Sequence[Garbage], uri: str) -> FoldedTable:
    """Group: what `scaling gc` would delete, places and bytes."""
    table = FoldedTable(
        ("what", "places", "MB"), title=f"{uri} can do without", right=("places", "MB")
    )
    for group, words in GROUPS.items():
        items = [item for item in garbage if item.group == group]
        if items:
            table.add_row(
                words, f"{len(items):,}", f"{sum(item.num_bytes for item in items) / 1e6:,.1f}"
            )
    table.add_section()
    table.add_row(
        "all", f"{len(garbage):,}", f"{sum(item.num_bytes for item in garbage) / 1e6:,.1f}"
    )
    return table
