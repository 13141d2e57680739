"""scaling run: everything that is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from scaling.cli.app import (
    ForOption,
    OnlyOption,
    OpenOption,
    StoreOption,
    StudyArgument,
    app,
    console,
    open_store,
    seconds_of,
)
from scaling.cli.stage import AcceptOption, FromOption, stage_and_plan
from scaling.cluster.signals import Interrupted, ends_on_signals
from scaling.planning.progress import current_plan
from scaling.planning.queue import ReadyQueue
from scaling.spec import UserError
from scaling.store.pending import pending_steps
from scaling.store.records import StepRecord
from scaling.store.registration import register
from scaling.store.store import Scan, Store
from scaling.study.part import Part, part_of
from scaling.study.plan import make_plan
from scaling.study.steps import Plan
from scaling.study.study import Study, load_study


@app.command()
def run(
    name: StudyArgument,
    uri: StoreOption = "",
    source: FromOption = None,
    accept: AcceptOption = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join; one on this machine if absent.")
    ] = None,
    open_cluster: OpenOption = False,
    only: OnlyOption = None,
    time_limit: ForOption = "",
    here: Annotated[
        bool,
        typer.Option(
            "--here", help="In this process, without Ray: for a debugger and for stack traces."
        ),
    ] = False,
) -> None:
    """Do everything that is missing. Run it again after anything: nothing is done twice."""
    if here and address:
        raise UserError(f"--here runs without Ray, and --address {address} names a Ray cluster")
    until = time.time() + seconds_of(time_limit) if time_limit else None
    study = load_study(name)
    part = part_of(make_plan(study), only or ())
    store = open_store(study, uri)
    try:
        with ends_on_signals():
            missing = _missing(study, store, source, accept or [], part)
            if missing is not None:
                plan, records = missing
                order = _Order(part=part, until=until, address=address, here=here)
                _run(plan, store, records, order, open_cluster=open_cluster)
    except Interrupted as interrupted:
        scan = store.scan()
        left = len(pending_steps(part.of(current_plan(study, store, scan=scan)), scan))
        go_on = ". Run again to go on" if left else ""
        console.print(f"interrupted; {left:,} steps are left{go_on}")
        raise typer.Exit(128 + interrupted.signal) from interrupted


@dataclass(frozen=True, kw_only=True)
class _Order:
    """How much is to be run, and where."""

    part: Part
    until: float | None
    """Nothing more is started from then on, seconds of `time.time()`."""
    address: str | None
    """Ray cluster to join; None starts one on this machine."""
    here: bool
    """In this process, without Ray."""


def _missing(
    study: Study, store: Store, source: Path | None, accept: list[str], part: Part
) -> tuple[Plan, dict[str, StepRecord]] | None:
    """The plan, staged and registered, and its records so far, if anything of the part is missing.

    Args:
        study: What is asked.
        store: Its store.
        source: Folder with raw data and models.
        accept: Defects that are counted instead of refused.
        part: What is wanted of the study.
    """
    store.check_study(study.name)
    scan = store.scan()
    plan = current_plan(study, store, scan=scan)
    # CorruptRecord before anything starts, not in the middle of a report.
    records = store.records(step for step in scan.done if step in plan.steps)
    store.check_writable()
    if plan.provisional or pending_steps(part.of(plan), scan):
        plan = stage_and_plan(study, store, source, accept)
        # Staging takes long, and somebody else may work meanwhile.
        scan = store.scan()
        done = [step for step in plan.steps if step in scan.done]
        fresh = store.records(step for step in done if step not in records)
        register(study, store, len(scan.done))
        return plan, {step: fresh.get(step) or records[step] for step in done}
    what = "" if part.is_whole else " of this part"
    console.print(
        f"nothing to run: all {len(part.of(plan).steps):,} steps{what} are done in {store.uri}",
        soft_wrap=True,
    )
    _close(plan, store, scan)
    return None


def _run(
    plan: Plan,
    store: Store,
    records: Mapping[str, StepRecord],
    order: _Order,
    *,
    open_cluster: bool,
) -> None:
    """Run what is missing and say what came of it.

    Args:
        plan: What is to run.
        store: Its store.
        records: Of what is done.
        order: How much of it, and where.
        open_cluster: Join one that asks for no token.
    """
    from scaling.cli.live import Watcher, status_group
    from scaling.cluster.driver import run_plan
    from scaling.cluster.here import run_here
    from scaling.planning.progress import study_status
    from scaling.store.history import version_notes, versions_here
    from scaling.store.tidy import write_rows

    part, until = order.part, order.until

    def watch(queue: ReadyQueue) -> Callable[[], None]:
        watcher = Watcher(queue, store, console, part)
        watcher.start()
        return watcher.stop

    console.print(f"{plan.study.name} → {store.uri}", soft_wrap=True)
    for note in version_notes(records.values(), versions_here()):
        console.print(f"· {note}", soft_wrap=True)
    if order.here:
        ended = run_here(
            plan,
            store,
            lambda line: console.print(f"· {line}", soft_wrap=True),
            part=part,
            until=until,
        )
    else:
        ended = run_plan(
            plan,
            store,
            records,
            address=order.address,
            open_cluster=open_cluster,
            watch=watch,
            part=part,
            until=until,
        )
    plan = ended.plan
    if ended.signal:
        raise Interrupted(ended.signal)
    wanted = part.of(plan)
    status = study_status(wanted, store)
    console.print(status_group(wanted, status), soft_wrap=True)
    console.print(f"· {write_rows(plan, store):,} rows in {store.uri}/rows.parquet", soft_wrap=True)
    if ended.failed:
        for step, reason in ended.failed.items():
            line = Text.assemble(("failed", "red"), f"  {step}: {reason}")
            console.print(line, soft_wrap=True)
    for step in ended.unfunded:
        console.print(Text.assemble(("over budget", "yellow"), f"  {step}"), soft_wrap=True)
    if ended.unfunded:
        console.print(
            f"· {len(ended.unfunded):,} steps were not started: ${plan.study.budget_dollars:,.2f}"
            " is the budget. Raise budget_dollars and run again to go on.",
            soft_wrap=True,
        )
    if ended.halted:
        console.print(Text.assemble(("halted", "red"), f"  {ended.halted}"), soft_wrap=True)
    if ended.stopped and status.pending:
        console.print(
            f"· {_why_stopped(until)}; {len(status.pending):,} steps are left. Run again to go on."
        )
    stopped = ended.stopped and status.pending
    if ended.failed or ended.unfunded or stopped or ended.halted:
        raise typer.Exit(1 if ended.failed else 3)
    if not status.pending:
        _close(plan, store, store.scan())


def _close(plan: Plan, store: Store, scan: Scan) -> None:
    """What the study says, or how much of it is left after a part was done."""
    left = len(pending_steps(plan, scan))
    if left:
        console.print(
            f"· Done as asked; {left:,} steps of the study are left. Run without --only to go on."
        )
        return
    _answer(plan, store)


def _why_stopped(until: float | None) -> str:
    return "Time is over" if until is not None and time.time() >= until else "Stopped as asked"


def _answer(plan: Plan, store: Store) -> None:
    """Print what the complete study says; rows that cannot be analysed undo no step of it."""
    from scaling.cli.verdict import show_answers, show_report, study_answers

    try:
        show_answers(plan.study.name, study_answers(plan, store))
    except UserError as error:
        console.print(f"no verdict: {error}", soft_wrap=True)
        return
    show_report(store)
    console.print("`scaling report` writes the whole; `scaling verdict` says this again")
