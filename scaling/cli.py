"""scaling plan · stage · run · status · explain · report · power · schema. Exit code 2: what you gave is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from scaling.hardware import GpuSpec, get_gpu
from scaling.plan import Plan, make_plan
from scaling.store import Store, StoreError
from scaling.study import Study, load_study
from scaling.yamlfile import BadFile

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Does the gain from English intermediate-task training shrink as multilingual encoders grow?",
)  # fmt: skip
# Bound to today's standard output, so that a library's can be silenced while ours is shown.
console = Console(highlight=False, file=sys.stdout)

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped one.")]
StoreOption = Annotated[str, typer.Option("--store", help="Folder, s3:// or gs:// prefix. Default: runs/STUDY.")]
FromOption = Annotated[Path | None, typer.Option("--from", help="Folder with raw data and model directories.")]


def _store(study: Study, uri: str) -> Store:
    return Store.open(uri or f"runs/{study.name}")


def _gpu(study: Study, name: str | None) -> GpuSpec | None:
    name = name or study.gpu
    return get_gpu(name) if name else None


def _load(name: str, uri: str) -> tuple[Study, Store, Plan]:
    """Study, store and the plan with whatever the store has resolved; refuses another study's store."""
    study = load_study(name)
    store = _store(study, uri)
    if store.exists("study.json"):
        store.check_study(study.name)
    return study, store, make_plan(study, store.read_lock())


@app.command()
def plan(
    study: StudyArgument,
    store: StoreOption = "",
    gpu: Annotated[str | None, typer.Option(help="Plan for this GPU; the study's own if absent.")] = None,
    steps: Annotated[bool, typer.Option("--steps", help="List every step.")] = False,
) -> None:
    """The grid: cells, unique steps, parameters, hours, dollars, and what is done. Starts nothing."""
    from scaling.queue import pending_steps
    from scaling.show import plan_notes, plan_table

    spec, place, whole = _load(study, store)
    device, sizes = _gpu(spec, gpu), place.read_sizes()
    console.print(plan_table(whole, sizes, device))
    for note in plan_notes(whole, sizes, device):
        console.print(f"· {note}", soft_wrap=True)
    scan = place.scan()
    done = sum(step in scan.done for step in whole.steps)
    console.print(
        f"· Store {place.uri}: {done:,} steps done, {len(pending_steps(whole, scan)):,} to run.", soft_wrap=True
    )
    if steps:
        for step in whole.steps.values():
            mark = "done " if step.id in scan.done else "     "
            console.print(f"{mark}{step.id}  ← {step.parent or 'pretrained'}", soft_wrap=True)


@app.command()
def stage(study: StudyArgument, store: StoreOption = "", source: FromOption = None) -> None:
    """Read, check and hash all data and weights of a study, once, into the store and its lock file."""
    spec = load_study(study)
    _stage(spec, _store(spec, store), source)
    console.print("staged")


def _stage(study: Study, store: Store, source: Path | None) -> Plan:
    from scaling.staging import stage as stage_study

    with console.status("staging") as shown:
        lock = stage_study(study, store, source, lambda what: shown.update(f"staging {what}"))
    return make_plan(study, lock)


@app.command()
def run(
    study: StudyArgument,
    store: StoreOption = "",
    source: FromOption = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; one on this machine if absent.")] = None,
) -> None:
    """Do everything that is missing. Run it again after anything: what is done is never done twice."""
    from scaling.queue import pending_steps

    spec = load_study(study)
    place = _store(spec, store)
    place.check_study(spec.name)
    whole = make_plan(spec, place.read_lock())
    _check_records(whole, place)
    if whole.provisional or pending_steps(whole, place.scan()):
        _run(_stage(spec, place, source), place, address)
    else:
        console.print(f"nothing to run: all {len(whole.steps):,} steps are done in {place.uri}", soft_wrap=True)


def _check_records(plan: Plan, store: Store) -> None:
    """CorruptRecord before anything starts, not in the middle of a report."""
    store.records(step for step in store.scan().done if step in plan.steps)


def _run(plan: Plan, store: Store, address: str | None) -> None:
    from scaling.schedule import run_plan
    from scaling.show import Watcher, status_lines, status_table
    from scaling.status import study_status
    from scaling.tidy import write_rows

    def watch(queue: object) -> Callable[[], None]:
        watcher = Watcher(plan, store, console)
        watcher.start()
        return watcher.stop

    console.print(f"{plan.study.name} → {store.uri}", soft_wrap=True)
    ended = run_plan(plan, store, address=address, watch=watch)
    status = study_status(plan, store)
    console.print(status_table(plan, status))
    for line in status_lines(status):
        console.print(f"· {line}", soft_wrap=True)
    console.print(f"· {write_rows(plan, store):,} rows in {store.uri}/rows.parquet", soft_wrap=True)
    if ended.failed:
        for step, reason in ended.failed.items():
            console.print(f"[red]failed[/red]  {step}: {reason}", soft_wrap=True)
        raise typer.Exit(1)


@app.command()
def status(study: StudyArgument, store: StoreOption = "") -> None:
    """Done, running, failed and collapsed steps, time left, and where the time went. From the store alone."""
    from scaling.show import status_lines, status_table
    from scaling.status import study_status

    _, place, whole = _load(study, store)
    found = study_status(whole, place)
    console.print(status_table(whole, found))
    for line in status_lines(found):
        console.print(f"· {line}", soft_wrap=True)


@app.command()
def explain(study: StudyArgument, step: str, store: StoreOption = "") -> None:
    """One step: what it is made from, whether it is done and why not, its tries."""
    from scaling.spec import known
    from scaling.status import failure_of, why_pending

    _, place, whole = _load(study, store)
    found = whole.steps[known("step", step, whole.steps)]
    console.print_json(json.dumps(dict(found.identity)))
    console.print(why_pending(whole, step, place.scan()))
    for line in failure_of(place, step):
        console.print(f"failed  {line}", soft_wrap=True, markup=False)
    if place.exists(f"steps/{step}/record.json"):
        console.print_json(place.read(f"steps/{step}/record.json").decode())


@app.command()
def report(
    study: StudyArgument,
    store: StoreOption = "",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder. Default: STORE/report.")] = None,
    also: Annotated[list[Path] | None, typer.Option("--also", help="More rows.parquet, from other stores.")] = None,
    claims: Annotated[Path | None, typer.Option(help="YAML of claims to check; Phang et al. 2020 if absent.")] = None,
) -> None:
    """Gains, curves, intervals, verdict: one HTML file that works offline, with figures and tables beside it."""
    from scaling.tidy import ROWS, write_rows

    spec, place, whole = _load(study, store)
    if not place.scan().done or not write_rows(whole, place):
        raise StoreError(f"{place.uri} has no scored cell of {spec.name!r} yet; `scaling run` makes them")
    import polars as pl

    from analysis.claims import PHANG2020
    from analysis.load import load_tidy
    from analysis.report import write_report

    folder = out or (place.local / "report" if place.local is not None else Path("report"))
    local = folder / ROWS
    folder.mkdir(parents=True, exist_ok=True)
    local.write_bytes(place.read(ROWS))
    grid = [
        {"model": c.model, "arm": c.arm, "target": c.target, "seed": c.seed, "language": code}
        for c in whole.cells
        for code in spec.test_languages(c.target)
    ]
    with console.status("report") as shown:
        index = write_report(
            load_tidy([local, *(also or [])]), question=spec.question, title=spec.title or spec.name, out=folder,
            expected=pl.DataFrame(grid), notes=spec.notes, claims=claims or PHANG2020,
            progress=lambda what: shown.update(f"report: {what}"),
        )  # fmt: skip
    console.print(f"report: {index}", soft_wrap=True)


@app.command()
def power(
    study: StudyArgument,
    effect: Annotated[float, typer.Option(help="Slope to be detected, points per tenfold scale.")] = 1.0,
    wanted: Annotated[float, typer.Option(help="Power that is wanted.", min=0.05, max=0.99)] = 0.8,
    pilot: Annotated[Path | None, typer.Option(help="rows.parquet of a pilot, to estimate the noise from.")] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU whose prices the advice uses.")] = None,
) -> None:
    """Before paying: what so many seeds can detect, the seeds for a wanted power, where one more pays most."""
    from analysis.load import load_tidy
    from analysis.power import Ledger, next_seeds, planned_grid, seeds_needed
    from analysis.results import analyse
    from scaling.estimate import costs
    from scaling.languages import get_language
    from scaling.show import power_table

    spec = load_study(study)
    whole = make_plan(spec)
    ledger = analyse(load_tidy([pilot]), spec.question).ledger if pilot is not None else Ledger()
    lines = costs(whole, {}, _gpu(spec, gpu))
    scale = {
        "total_params": lambda name: spec.model(name).total_params,
        "backbone_params": lambda name: spec.model(name).backbone_params,
        "train_flops": lambda name: next(line.flops for line in lines if line.model == name),
    }[spec.question.x_axis]
    x = np.log10([float(scale(name)) for name in spec.models])
    if len(x) < 2:
        raise BadFile(f"{study}: {spec.models[0]} alone has no slope; power needs two sizes")
    # A target without low-resource languages adds nothing to their pooled slope.
    counts = [
        sum(get_language(code).tier in ("unseen", "low") for code in spec.test_languages(t)) for t in spec.targets
    ]
    arms, targets = max(1, len(spec.arms) - 1), max(1, sum(count > 0 for count in counts))
    languages = max(1, round(sum(counts) / targets))
    shape = {"arms": arms, "targets": targets, "low-resource languages each": languages}
    grid = planned_grid(ledger, x, arms=arms, targets=targets, languages=languages)
    console.print(power_table(grid, spec.name, shape, "a pilot" if pilot else "assumed variances"))
    sd = grid[0]["replica_sd"]
    needed = seeds_needed(effect, sd, x, wanted)
    console.print(
        f"· {needed or 'more than 200'} seeds per size detect {effect:g} points per tenfold with power {wanted:g}."
    )
    price = [line.dollars if line.dollars is not None else line.device_hours for line in lines]
    per_seed = [cost / len(spec.seeds) for cost in price]
    unit = "$" if lines[0].dollars is not None else "device hours"
    start = [len(spec.seeds)] * len(x)
    for advice in next_seeds([sd] * len(x), x, start, per_seed, list(spec.models), unit):
        console.print(
            f"· next: one more seed at {advice.size} (has {advice.seeds_before}) cuts the slope's variance by "
            f"{advice.variance_cut:.1%} for {advice.cost:,.3g} {advice.unit}",
            soft_wrap=True,
        )


@app.command()
def schema(out: Annotated[Path | None, typer.Argument(help="File; standard output if absent.")] = None) -> None:
    """JSON schema of a study file, for editors."""
    text = json.dumps(Study.model_json_schema(), indent=1, sort_keys=True) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)


def main() -> None:
    """Entry point: what the user gave wrong ends in one message and exit code 2."""
    try:
        app()
    except (BadFile, StoreError, ValueError) as error:
        if not _is_users(error):
            raise
        Console(stderr=True, highlight=False).print(f"[red]error[/red] {_plain(error)}", soft_wrap=True)
        raise SystemExit(2) from None


def _is_users(error: Exception) -> bool:
    """Our own complaints about input are ValueErrors with a message; a bug elsewhere keeps its traceback."""
    return type(error).__module__.split(".")[0] in ("scaling", "analysis") or type(error) is ValueError


def _plain(error: Exception) -> str:
    return str(error).replace("[", r"\[")


if __name__ == "__main__":
    main()
