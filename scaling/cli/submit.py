"""scaling submit: a study for a running cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaling.cli.app import (
    ForOption,
    OnlyOption,
    OpenOption,
    StoreOption,
    StudyArgument,
    TokenOption,
    app,
    console,
    open_store,
    seconds_of,
    working,
)
from scaling.study.part import part_of
from scaling.study.plan import make_plan
from scaling.study.study import load_study

AddressOption = Annotated[
    str, typer.Option("--address", help="URL of the Ray dashboard, http://HEAD:8265.")
]


@app.command()
def submit(
    name: StudyArgument,
    address: AddressOption,
    uri: StoreOption,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder with raw data and models, as the cluster's head sees it."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--working-dir",
            help="Checkout to upload. Default: this folder if it is one, else what is installed.",
        ),
    ] = None,
    only: OnlyOption = None,
    time_limit: ForOption = "",
    open_cluster: OpenOption = False,
    send_token_to: TokenOption = "",
) -> None:
    """Check a cluster (access, versions, store, room, slots), then give it the study as a job."""
    from scaling.cluster.submit import submit as submit_study
    from scaling.cluster.upload import EXCLUDES

    study = load_study(name)
    part_of(make_plan(study), only or ())
    options = [word for value in only or () for word in ("--only", value)]
    if time_limit:
        seconds_of(time_limit)
        options += ["--for", time_limit]
    store = open_store(study, uri)
    with working("checking") as say:
        done = submit_study(
            name,
            study,
            store,
            address=address,
            folder=folder,
            source=source,
            open_cluster=open_cluster,
            send_token_to=send_token_to,
            options=options,
            say=say,
        )
    console.print(
        f"upload {done.num_bytes / 2**20:,.1f} MiB without {' '.join(EXCLUDES)} and what .gitignore"
        " names"
    )
    for kind in done.findings.room:
        console.print(f"room   {kind.count} × {kind.name}", soft_wrap=True)
    if unseen := done.findings.unseen:
        names = ", ".join(kind.name for kind in unseen)
        console.print(
            f"versions and store not looked at from {names}: no such node is alive", soft_wrap=True
        )
    console.print(f"submitted {done.job}")
    where = f"{name} --store {store.uri}"
    for line in (
        f"scaling status {where} --live",
        f"scaling logs {where}",
        f"ray job logs --address {address} --follow {done.job}",
        f"scaling cancel {name} --address {address}",
    ):
        console.print(f"    {line}", soft_wrap=True)
