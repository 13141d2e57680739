"""Tables and progress bars for people."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from scaling.estimate import Sizes, costs
from scaling.garbage import GROUPS, Garbage
from scaling.hardware import PRICES_DATED, GpuSpec
from scaling.plan import Plan
from scaling.records import StepRecord
from scaling.staged import StagedTask
from scaling.status import PHASES, Status, study_status
from scaling.store import Store


def duration(seconds: float) -> str:
    """1 h 05 min, 3 min 20 s, 12 s."""
    if seconds >= 5400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{seconds:.0f} s"


def plan_table(plan: Plan, sizes: Sizes, gpu: GpuSpec | None) -> Table:
    """One line per model: parameters, placement, unique steps, FLOPs, device hours, dollars."""
    table = Table(title=f"{plan.study.name}: {len(plan.cells):,} cells, {len(plan.steps):,} unique steps")
    for name in ("model", "parameters", "backbone", "placement", "steps", "PFLOP", "device hours", "dollars"):
        table.add_column(name, justify="left" if name in ("model", "placement") else "right")
    lines = costs(plan, sizes, gpu)
    for line in lines:
        model = plan.study.model(line.model)
        where = f"{line.placement.workers} × {gpu.name if gpu else 'CPU'}, ZeRO-{line.placement.zero_stage}"
        table.add_row(
            line.model, f"{model.total_params / 1e6:,.1f} M", f"{model.backbone_params / 1e6:,.1f} M", where,
            f"{line.steps:,}", f"{line.flops / 1e15:,.1f}", f"{line.device_hours:,.1f}",
            "-" if line.dollars is None else f"{line.dollars:,.0f}",
        )  # fmt: skip
    table.add_section()
    dollars = [line.dollars for line in lines if line.dollars is not None]
    table.add_row(
        "all", "", "", "", f"{len(plan.steps):,}", f"{sum(line.flops for line in lines) / 1e15:,.1f}",
        f"{sum(line.device_hours for line in lines):,.1f}", f"{sum(dollars):,.0f}" if dollars else "-",
    )  # fmt: skip
    return table


def plan_notes(plan: Plan, sizes: Sizes, gpu: GpuSpec | None) -> list[str]:
    """The assumptions behind the table, and what sharing saves."""
    trainings = sum(len(cell.intermediate) + len(cell.trained) for cell in plan.cells)
    unique = sum(step.action == "train" for step in plan.steps.values())
    notes = [f"Sharing: {unique:,} trainings instead of {trainings:,} if every cell ran alone."]
    if plan.study.intermediate_seed != "per_seed":
        notes.append("One phase-ii run is shared by all seeds: every result is conditional on that checkpoint.")
    same = sorted({f"{cell.arm} → {cell.target}" for cell in plan.cells if cell.same_data})
    if same:
        notes.append(f"Same data in both phases (kept, marked, outside the pooled estimate): {', '.join(same)}.")
    if not sizes:
        notes.append("Not staged yet: example counts are published ones, token lengths are assumed.")
    if gpu:
        notes.append(f"Hours assume a default MFU per size; prices dated {PRICES_DATED}, ${gpu.dollars_per_hour}/h.")
    if plan.provisional:
        notes.append("Step names are provisional until `scaling stage` has resolved every hash.")
    for task in plan.study.targets:
        note = plan.study.task(task).note
        if note:
            notes.append(f"{task}: {note.split('. ')[0].rstrip('.')}.")
    return notes


def staged_table(tasks: Sequence[StagedTask]) -> Table:
    """One line per task and source: rows, where they come from at which commit, on what terms, with what defects."""
    table = Table(title="staged data")
    for name in ("task", "train", "dev", "test", "languages", "source", "revision", "licence", "defects"):
        table.add_column(name, justify="right" if name in ("train", "dev", "test", "languages", "defects") else "left")
    for task in tasks:
        counts = [f"{task.rows[split]:,}" if split in task.rows else "-" for split in ("train", "dev", "test")]
        for at, (source, revision) in enumerate(task.sources):
            shown = (source, revision[:12] or "-")
            if at == 0:
                number = f"{sum(task.defects.values()):,}"
                table.add_row(task.task, *counts, f"{task.languages or '-'}", *shown, task.licence, number)
            else:
                table.add_row("", "", "", "", "", *shown, "", "")
    return table


def status_table(plan: Plan, status: Status) -> Table:
    """Model × phase: done / all, and collapsed runs."""
    table = Table(title=f"{plan.study.name}: {sum(status.done.values()):,} of {len(plan.steps):,} steps done")
    table.add_column("model")
    for phase in ("phase ii", "phase iii", "scoring", "collapsed", "failed tries"):
        table.add_column(phase, justify="right")
    for model in plan.study.models:
        cells = [f"{status.done.get((model, p), 0)} / {status.total.get((model, p), 0)}" for p in PHASES]
        collapsed = sum(status.collapsed.get((model, phase), 0) for phase in PHASES)
        failed = sum(count for step, count in status.failures.items() if plan.steps[step].model == model)
        table.add_row(model, *cells, str(collapsed), str(failed))
    return table


def status_lines(status: Status) -> list[str]:
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
    if status.dollars is not None:
        lines.append(f"spent ${status.dollars:,.2f}")
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
            table.add_row(words, f"{len(items):,}", f"{sum(item.num_bytes for item in items) / 1e6:,.1f}")
    table.add_section()
    table.add_row("all", f"{len(found):,}", f"{sum(item.num_bytes for item in found) / 1e6:,.1f}")
    return table


def power_table(grid: Sequence[Mapping[str, float]], name: str, shape: Mapping[str, int], source: str) -> Table:
    """Seeds → detectable slope and the chance to affirm that nothing changes; low-resource languages, pooled."""
    over = ", ".join(f"{count} {what}" for what, count in shape.items())
    table = Table(title=f"{name}: what seeds can see ({over}; {source})")
    for column in ("seeds per size", "detectable slope, points per tenfold", "chance to affirm ±0.5"):
        table.add_column(column, justify="right")
    for row in grid:
        table.add_row(f"{row['seeds']:.0f}", f"{row['detectable']:.2f}", f"{row['affirm_half_point']:.0%}")
    return table


class Watcher(threading.Thread):
    """Shows a run while it goes on: a bar per model on a terminal, a line now and then elsewhere."""

    def __init__(self, plan: Plan, store: Store, console: Console) -> None:
        super().__init__(name="watcher", daemon=True)
        self.plan, self.store, self.console = plan, store, console
        self.done = threading.Event()
        self.records: dict[str, StepRecord] = {}

    def stop(self) -> None:
        self.done.set()
        self.join()

    def _status(self) -> Status:
        for step in self.store.scan().done - self.records.keys():
            if step in self.plan.steps:
                self.records[step] = self.store.record(step)
        return study_status(self.plan, self.store, records=self.records)

    def run(self) -> None:
        if self.console.is_terminal:
            with Live(console=self.console, refresh_per_second=4, transient=True) as live:
                self._repeat(1.0, lambda status: live.update(self._bars(status)))
        else:
            self._repeat(15.0, self._line)

    def _repeat(self, every: float, show: Callable[[Status], None]) -> None:
        while not self.done.wait(every):
            show(self._status())

    def _line(self, status: Status) -> None:
        eta = f", about {duration(status.eta_seconds)} to go" if status.eta_seconds is not None else ""
        now = ", ".join(item.step for item in status.working) or "starting worker groups"
        self.console.print(
            f"{time.strftime('%H:%M:%S')}  {sum(status.done.values())}/{len(self.plan.steps)}{eta}  [{now}]",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip

    def _bars(self, status: Status) -> Group:
        progress = Progress(TextColumn("{task.description:<16}"), BarColumn(40), MofNCompleteColumn())
        for model in self.plan.study.models:
            done = sum(status.done.get((model, phase), 0) for phase in PHASES)
            progress.add_task(model, total=sum(status.total.get((model, p), 0) for p in PHASES), completed=done)
        return Group(progress, *status_lines(status)[:-1])
