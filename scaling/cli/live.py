"""How far a study is, as tables, and again and again while it runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from scaling.cli.app import duration
from scaling.cli.tables import FoldedTable
from scaling.planning.progress import PHASES, Status, StatusReader
from scaling.planning.queue import ReadyQueue
from scaling.store.store import Store, pause_after
from scaling.study.part import WHOLE, Part
from scaling.study.steps import Plan

# Seconds between looks at the store, for bars on a terminal and for lines elsewhere.
BARS_SECONDS = 1.0
LINE_SECONDS = 15.0


class Watcher(threading.Thread):
    """Shows a run while it goes on: bars on a terminal, a line now and then elsewhere."""

    def __init__(
        self, queue: ReadyQueue, store: Store, console: Console, part: Part = WHOLE
    ) -> None:
        """A thread that has not begun.

        Args:
            queue: Of the run.
            store: What is looked at.
            console: Where it is shown.
            part: What of the study is run.
        """
        super().__init__(name="watcher", daemon=True)
        self.queue, self.reader, self.console = queue, StatusReader(store), console
        self.part = part
        self.done = threading.Event()

    @property
    def plan(self) -> Plan:
        """What is run, as it is now: it grows by re-runs."""
        return self.part.of(self.queue.plan)

    def stop(self) -> None:
        """Ends the thread, after the look that it is at."""
        self.done.set()
        self.join()

    def run(self) -> None:
        """The thread: looks and shows until it is stopped."""
        if self.console.is_terminal:
            # The driver keeps Ray's words from standard output while it runs; a display that takes
            # standard output for itself would let them through.
            with Live(
                console=self.console, refresh_per_second=4, transient=True, redirect_stdout=False
            ) as live:
                self._repeat(BARS_SECONDS, lambda status: live.update(self._bars(status)))
        else:
            self._repeat(LINE_SECONDS, self._line)

    def _repeat(self, every: float, show: Callable[[Status], None]) -> None:
        pause = every
        while not self.done.wait(pause):
            before = time.monotonic()
            # The display is not what a run may end of, nor what may stay away after one bad look.
            with suppress(OSError, ValueError):
                show(self.reader.status(self.plan))
            pause = pause_after(time.monotonic() - before, every)

    def _line(self, status: Status) -> None:
        self.console.print(
            f"{time.strftime('%H:%M:%S')}  {progress_line(self.plan, status)}", soft_wrap=True
        )

    def _bars(self, status: Status) -> Group:
        progress = Progress(
            TextColumn(
                "{task.description:<16}", markup=False, table_column=Column(overflow="fold")
            ),
            BarColumn(40),
            MofNCompleteColumn(),
        )
        for model in self.plan.models:
            done = sum(status.done.get((model, phase), 0) for phase in PHASES)
            progress.add_task(
                model, total=sum(status.total.get((model, p), 0) for p in PHASES), completed=done
            )
        return Group(progress, *status_lines(replace(status, num_bytes=None)))


PHASE_NAMES = {"ii": "phase ii", "iii": "phase iii", "eval": "scoring"}


def progress_line(plan: Plan, status: Status) -> str:
    """How far a run is in one line: steps, re-runs, time left; by size and phase what is at work.

    `26/155 (3 for re-runs), about 12 min 04 s to go  [e5-depth-12 scoring 14/38]`
    """
    again = sum(step.rerun > 0 for step in plan.steps.values())
    line = f"{sum(status.done.values()):,}/{len(plan.steps):,}"
    line += f" ({again:,} for re-runs)" if again else ""
    if status.eta_seconds is not None:
        line += f", about {duration(status.eta_seconds)} to go"
    busy = Counter(
        (plan.steps[item.step].model, plan.steps[item.step].phase)
        for item in status.working
        if item.step in plan.steps
    )
    now = []
    for (model, phase), count in busy.items():
        done, total = status.done.get((model, phase), 0), status.total[model, phase]
        several = f", {count} at work" if count > 1 else ""
        now.append(f"{model} {PHASE_NAMES[phase]} {done}/{total}{several}")
    waiting = "starting worker groups" if not status.done else "between worker groups"
    return f"{line}  [{'; '.join(now) or waiting}]"


def status_table(plan: Plan, status: Status) -> FoldedTable:
    """Model × phase: done / all; steps at work, collapsed runs, failed tries of open steps."""
    counts = (
        "phase ii",
        "phase iii",
        "scoring",
        "running",
        "collapsed",
        "re-runs",
        "failed tries",
    )
    table = FoldedTable(
        ("model", *counts),
        title=f"{plan.study.name}: {sum(status.done.values()):,} of {len(plan.steps):,} steps done",
        right=counts,
    )
    for size in size_statuses(plan, status):
        cells = [f"{size.done[phase]} / {size.total[phase]}" for phase in PHASES]
        numbers = (size.running, size.collapsed, size.reruns, size.failed_tries)
        table.add_row(size.model, *cells, *map(str, numbers))
    return table


@dataclass(frozen=True, kw_only=True)
class SizeStatus:
    """How far one model of a study is."""

    model: str
    done: dict[str, int]
    """Phase → steps."""
    total: dict[str, int]
    running: int
    collapsed: int
    reruns: int
    failed_tries: int
    """Of steps that are not done."""


def size_statuses(plan: Plan, status: Status) -> list[SizeStatus]:
    """How far every model is, in the study's order."""
    return [
        SizeStatus(
            model=model,
            done={phase: status.done.get((model, phase), 0) for phase in PHASES},
            total={phase: status.total.get((model, phase), 0) for phase in PHASES},
            running=sum(plan.steps[item.step].model == model for item in status.working),
            collapsed=sum(status.collapsed.get((model, phase), 0) for phase in PHASES),
            reruns=sum(
                step.rerun > 0 and step.action == "train" and step.model == model
                for step in plan.steps.values()
            ),
            failed_tries=sum(
                count for step, count in status.failures.items() if plan.steps[step].model == model
            ),
        )
        for model in plan.models
    ]


def status_group(plan: Plan, status: Status) -> Group:
    """Everything that `scaling status` says."""
    lines = status_lines(status, plan.study.budget_dollars)
    return Group(status_table(plan, status), *(Text(f"· {line}") for line in lines))


def show_live(plan: Plan, store: Store, console: Console, every: float = BARS_SECONDS) -> None:
    """The status until nothing is pending, or until Ctrl-C.

    Args:
        plan: What is shown.
        store: What is looked at.
        console: Where it is shown.
        every: Seconds between looks, more where a look takes long.
    """
    reader = StatusReader(store)
    with (
        suppress(KeyboardInterrupt),
        Live(console=console, refresh_per_second=2, transient=True) as live,
    ):
        while True:
            before = time.monotonic()
            status = reader.status(plan)
            took = time.monotonic() - before
            live.update(status_group(plan, status))
            if not status.pending:
                return
            time.sleep(pause_after(took, every))


def status_lines(status: Status, budget: float | None = None) -> list[str]:
    """What is at work, the time left, where time went, dollars, and the store's size."""
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
    if status.num_bytes is not None:
        lines.append(f"store {status.num_bytes / 1e6:,.0f} MB")
    return lines
