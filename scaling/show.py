"""Tables and progress bars for people."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from scaling.catalogue.hardware import GIB, GpuSpec
from scaling.data.manifest import StagedTask
from scaling.planning.forecast import Forecast, SizeForecast
from scaling.planning.memory import USABLE
from scaling.planning.progress import PHASES, Status, study_status
from scaling.planning.queue import ReadyQueue
from scaling.planning.speed import Sizes, member_sizes
from scaling.store.garbage import GROUPS, Garbage
from scaling.store.records import StepRecord
from scaling.store.store import Store
from scaling.study.arms import arm_role
from scaling.study.mixture import member_updates
from scaling.study.plan import Plan, Step


def duration(seconds: float) -> str:
    """1 h 05 min, 3 min 20 s, 12 s."""
    if seconds >= 5400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{seconds:.0f} s"


def plan_table(plan: Plan, found: Forecast) -> Table:
    """One line per model: parameters, placement, memory against capacity, steps, FLOPs, hours,
    dollars, files.
    """
    table = Table(
        title=f"{plan.study.name}: {len(plan.cells):,} cells, {len(plan.steps):,} unique steps"
    )
    for name in ("model", "params", "placement", "GiB", "PFLOP", "hours", "dollars"):
        table.add_column(name, justify="left" if name in ("model", "placement") else "right")
    for line in found.sizes:
        fits, dollars = not line.problem, found.dollars(line.device_hours)
        table.add_row(
            line.model,
            f"{plan.study.model(line.model).total_params / 1e6:,.0f} M",
            next(iter(line.layouts), "[red]does not fit[/red]"),
            _peak(line, found.gpu),
            f"{line.flops / 1e15:,.0f}",
            f"{line.device_hours:,.1f}" if fits else "-",
            f"{dollars:,.0f}" if fits and dollars is not None else "-",
        )
    table.add_section()
    hours = sum(line.device_hours for line in found.sizes if not line.problem)
    dollars = found.dollars(hours)
    table.add_row(
        "all",
        "",
        "",
        "",
        f"{sum(line.flops for line in found.sizes) / 1e15:,.0f}",
        f"{hours:,.1f}",
        f"{dollars:,.0f}" if dollars is not None else "-",
    )
    return table


def _peak(line: SizeForecast, gpu: GpuSpec | None) -> str:
    if line.peak is None:
        return "-"
    need = f"{line.peak.total / GIB:,.1f}"
    return need if gpu is None else f"{need}/{USABLE * gpu.memory_gib:,.1f}"


def plan_notes(plan: Plan, sizes: Sizes, found: Forecast) -> list[str]:
    """What does not fit, the makespan, what sharing saves, and the assumptions behind every number
    of the table.
    """
    notes = [
        f"[red]Does not fit[/red], {line.cells:,} cells: {line.problem}"
        for line in found.sizes
        if line.problem
    ]
    for line in found.sizes:
        others = [
            f"{layout} for {', '.join(tasks)}" for layout, tasks in list(line.layouts.items())[1:]
        ]
        notes += (
            [f"{line.model} is placed otherwise for some tasks: {'; '.join(others)}."]
            if others
            else []
        )
    if found.devices:
        longer = found.makespan_seconds / max(1.0, found.bound_seconds) - 1
        notes.append(
            f"On {found.devices} devices: {duration(found.makespan_seconds)} from start to end, by"
            f" the queue itself on a simulated clock; {longer:.0%} over the lower bound of"
            f" {duration(found.bound_seconds)}."
        )
    trainings = sum(len(cell.intermediate) + len(cell.trained) for cell in plan.cells)
    unique = sum(step.action == "train" for step in plan.steps.values())
    hours = sum(line.device_hours for line in found.sizes)
    alone = sum(line.alone_device_hours for line in found.sizes)
    price = found.dollars(alone - hours)
    if plan.cells:
        notes.append(
            f"Sharing: {unique:,} trainings instead of {trainings:,} if every cell ran alone;"
            f" {hours:,.1f} device hours instead of {alone:,.1f}"
            + (f", ${price:,.0f} saved." if price is not None else ".")
        )
    again = sum(step.rerun > 0 and step.action == "train" for step in plan.steps.values())
    if again:
        notes.append(
            f"{again:,} trainings are re-runs of collapsed ones, with new seeds; the first ones'"
            " rows stay."
        )
    elif plan.study.reruns and plan.cells:
        notes.append(
            f"A training that collapses is run again at most {plan.study.reruns} times; that is not"
            " in here."
        )
    if plan.study.intermediate_seed != "per_seed":
        notes.append(
            "One phase-ii run is shared by all seeds: every result is conditional on that"
            " checkpoint."
        )
    same = sorted({f"{cell.arm} → {cell.target}" for cell in plan.cells if cell.same_data})
    if same:
        notes.append(
            "Same data in both phases (kept, marked, outside the pooled estimate):"
            f" {', '.join(same)}."
        )
    if plan.study.adapters is not None:
        notes.append(
            f"Method: LoRA, rank {plan.study.lora.rank}, on {', '.join(plan.study.lora.targets)}."
        )
    notes += _arm_notes(plan, sizes)
    if not sizes:
        notes.append(
            "Not staged yet: example counts are published ones, token lengths are assumed."
        )
    notes.append("Speed: " + "; ".join(line.basis for line in found.sizes) + ".")
    if found.gpu:
        notes.append(
            f"Prices dated {found.prices_dated}: {found.gpu.name}"
            f" ${found.gpu.dollars_per_hour:g}/h."
        )
    peaks = ", ".join(f"{line.model} {line.peak_task}" for line in found.sizes if line.peak_task)
    notes.append(
        f"GiB: predicted peak of one device in the training that needs most ({peaks}), of what may"
        " be used."
    )
    notes.append("Hours: of all devices. Placement: of most tasks.")
    notes.append(
        "Files of one training, weights and resume point, GB: "
        + ", ".join(
            f"{x.model} {x.checkpoint_bytes / 1e9:.3g} and {x.resume_bytes / 1e9:.3g}"
            for x in found.sizes
        )
        + "."
    )
    if plan.provisional:
        notes.append("Step names are provisional until `scaling stage` has resolved every hash.")
    for task in plan.study.targets:
        note = plan.study.task(task).note
        if note:
            notes.append(f"{task}: {note.split('. ')[0].rstrip('.')}.")
    return notes


def _arm_notes(plan: Plan, sizes: Sizes) -> list[str]:
    """What the arms are that are no single task: their role, what is trained in which share and
    languages.
    """
    study, notes = plan.study, []
    for arm in study.arms:
        role = arm_role(arm, study.all_tasks)
        if role in ("none", "single"):
            continue
        first = next(cell for cell in plan.cells if cell.arm == arm.name)
        steps = [
            plan.steps[step]
            for step in (first.trained if role == "pairwise" else first.intermediate)
        ]
        what = ", then ".join(_shares(plan, step, sizes) for step in steps) or "no phase ii"
        control = f" ({arm.control})" if arm.control else ""
        extra = f"; {arm.new_pieces} new pieces" if arm.new_pieces else ""
        extra += "".join(f"; {code} by {table}" for code, table in arm.transliterate.items())
        notes.append(f"{arm.name}: {role}{control}; {what}{extra}.")
        untrained = [
            target for target in study.targets if arm.like and not study.task(target).trains_on
        ]
        if untrained:
            notes.append(
                f"{arm.name}: nothing is trained for {', '.join(untrained)}, so this control is the"
                " baseline."
            )
    return notes


def _shares(plan: Plan, step: Step, sizes: Sizes) -> str:
    """`TASK` or `TASK 40% + TASK 60%` of the updates, with the languages and their sequences."""
    members = step.mixture.members
    counts = [[count for count, _ in member_sizes(plan, one, sizes)] for one in members]
    updates = member_updates(
        [sum(one) for one in counts], step.recipe, step.mixture.sampling, step.mixture.mlm_ratio
    )
    shown = []
    for member, own, count in zip(members, updates, counts, strict=True):
        pairs = zip(member.languages, count, strict=True)
        text = (
            ""
            if member.languages == ("en",)
            else f" in {', '.join(f'{code} {num:,}' for code, num in pairs)}"
        )
        shown.append(
            f"{member.task}{text}" + (f" {own / sum(updates):.0%}" if len(members) > 1 else "")
        )
    return " + ".join(shown)


def staged_table(tasks: Sequence[StagedTask]) -> Table:
    """One line per task and source: rows, where they come from at which commit, on what terms, with
    what defects.
    """
    table = Table(title="staged data")
    for name in (
        "task",
        "train",
        "dev",
        "test",
        "languages",
        "source",
        "revision",
        "licence",
        "defects",
    ):
        table.add_column(
            name,
            justify="right" if name in ("train", "dev", "test", "languages", "defects") else "left",
        )
    for task in tasks:
        counts = [
            f"{task.rows[split]:,}" if split in task.rows else "-"
            for split in ("train", "dev", "test")
        ]
        for at, (source, revision) in enumerate(task.sources):
            shown = (source, revision[:12] or "-")
            if at == 0:
                number = f"{sum(task.defects.values()):,}"
                table.add_row(
                    task.task, *counts, f"{task.languages or '-'}", *shown, task.licence, number
                )
            else:
                table.add_row("", "", "", "", "", *shown, "", "")
    return table


def status_table(plan: Plan, status: Status) -> Table:
    """Model × phase: done / all; steps at work, collapsed runs, failed tries of steps that are not
    done.
    """
    table = Table(
        title=f"{plan.study.name}: {sum(status.done.values()):,} of {len(plan.steps):,} steps done"
    )
    table.add_column("model")
    for name in (
        "phase ii",
        "phase iii",
        "scoring",
        "running",
        "collapsed",
        "re-runs",
        "failed tries",
    ):
        table.add_column(name, justify="right")
    for model in plan.study.models:
        cells = [
            f"{status.done.get((model, p), 0)} / {status.total.get((model, p), 0)}" for p in PHASES
        ]
        running = sum(plan.steps[item.step].model == model for item in status.working)
        collapsed = sum(status.collapsed.get((model, phase), 0) for phase in PHASES)
        failed = sum(
            count for step, count in status.failures.items() if plan.steps[step].model == model
        )
        again = sum(
            step.rerun > 0 and step.action == "train"
            for step in plan.steps.values()
            if step.model == model
        )
        table.add_row(model, *cells, str(running), str(collapsed), str(again), str(failed))
    return table


def status_group(plan: Plan, status: Status) -> Group:
    """Everything that `scaling status` says."""
    lines = status_lines(status, plan.study.budget_dollars)
    return Group(status_table(plan, status), *(Text(f"· {line}") for line in lines))


def show_live(plan: Plan, store: Store, console: Console, every_seconds: float = 2.0) -> None:
    """The status until nothing is pending, or until Ctrl-C."""
    records: dict[str, StepRecord] = {}
    with (
        suppress(KeyboardInterrupt),
        Live(console=console, refresh_per_second=2, transient=True) as live,
    ):
        while True:
            status = fresh_status(plan, store, records)
            live.update(status_group(plan, status))
            if not status.pending:
                return
            time.sleep(every_seconds)


def fresh_status(plan: Plan, store: Store, records: dict[str, StepRecord]) -> Status:
    """The status now; `records` keeps what was read, since a record never changes but for its
    attempt.
    """
    new = [step for step in store.scan().done - records.keys() if step in plan.steps]
    records.update(store.records(new))
    return study_status(plan, store, records=records)


def status_lines(status: Status, budget: float | None = None) -> list[str]:
    seconds = status.seconds
    lines = []
    for item in status.working:
        done, total = item.progress.get("done"), item.progress.get("total")
        lines.append(f"running  {item.step}" + (f"  {done} of {total}" if total else ""))
    if status.eta_seconds is not None:
        lines.append(f"about {duration(status.eta_seconds)} to go")
    if seconds.work:
        lines.append(
            f"time so far: start {duration(seconds.start)}, load {duration(seconds.load)}, "
            f"work {duration(seconds.work)}, save {duration(seconds.save)}; "
            f"start-up and loading {seconds.start_share:.0%}"
        )
    if status.dollars is not None or budget is not None:
        limit = "" if budget is None else f" of ${budget:,.2f}"
        lines.append(f"spent ${status.dollars or 0.0:,.2f}{limit}")
    lines.append(f"store {status.num_bytes / 1e6:,.0f} MB")
    return lines


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


def power_table(
    grid: Sequence[Mapping[str, float]], name: str, shape: Mapping[str, int], source: str
) -> Table:
    """Seeds → detectable slope and the chance to affirm that nothing changes; low-resource
    languages, pooled.
    """
    over = ", ".join(f"{count} {what}" for what, count in shape.items())
    table = Table(title=f"{name}: what seeds can see ({over}; {source})")
    for column in (
        "seeds per size",
        "detectable slope, points per tenfold",
        "chance to affirm ±0.5",
    ):
        table.add_column(column, justify="right")
    for row in grid:
        table.add_row(
            f"{row['seeds']:.0f}", f"{row['detectable']:.2f}", f"{row['affirm_half_point']:.0%}"
        )
    return table


class Watcher(threading.Thread):
    """Shows a run while it goes on: a bar per model on a terminal, a line now and then
    elsewhere.
    """

    def __init__(self, queue: ReadyQueue, store: Store, console: Console) -> None:
        super().__init__(name="watcher", daemon=True)
        self.queue, self.store, self.console = queue, store, console
        self.done = threading.Event()
        self.records: dict[str, StepRecord] = {}

    @property
    def plan(self) -> Plan:
        """As it is now: it grows by re-runs."""
        return self.queue.plan

    def stop(self) -> None:
        self.done.set()
        self.join()

    def run(self) -> None:
        if self.console.is_terminal:
            with Live(console=self.console, refresh_per_second=4, transient=True) as live:
                self._repeat(1.0, lambda status: live.update(self._bars(status)))
        else:
            self._repeat(15.0, self._line)

    def _repeat(self, every: float, show: Callable[[Status], None]) -> None:
        while not self.done.wait(every):
            show(fresh_status(self.plan, self.store, self.records))

    def _line(self, status: Status) -> None:
        eta = (
            f", about {duration(status.eta_seconds)} to go"
            if status.eta_seconds is not None
            else ""
        )
        now = ", ".join(item.step for item in status.working) or "starting worker groups"
        self.console.print(
            f"{time.strftime('%H:%M:%S')}  {sum(status.done.values())}/{len(self.plan.steps)}{eta} "
            f" [{now}]",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _bars(self, status: Status) -> Group:
        progress = Progress(
            TextColumn("{task.description:<16}"), BarColumn(40), MofNCompleteColumn()
        )
        for model in self.plan.study.models:
            done = sum(status.done.get((model, phase), 0) for phase in PHASES)
            progress.add_task(
                model, total=sum(status.total.get((model, p), 0) for p in PHASES), completed=done
            )
        return Group(progress, *status_lines(status)[:-1])
