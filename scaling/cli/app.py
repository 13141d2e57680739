"""The Typer application, and what its commands share."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from scaling.catalogue.hardware import GpuSpec, get_gpu
from scaling.planning.progress import current_plan
from scaling.spec import UserError, known
from scaling.store.store import Store
from scaling.study.steps import Plan
from scaling.study.study import STUDIES, Study, load_study

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Does the gain from English intermediate-task training shrink as multilingual encoders"
        " grow?"
    ),
)


def _say_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"scaling {version('stilts-scaling')}")
        except PackageNotFoundError:
            typer.echo("scaling, from a folder that is not installed")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Which one this is."),
    ] = False,
) -> None:
    pass


def plain(text: str) -> str:
    """Text with its control characters, which steer a terminal, shown as text."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


# Signs of ours in the letters of any encoding; all else is shown by its number.
_LETTERS = {"×": "x", "·": "-", "→": "->", "←": "<-", "…": "...", "✗": "x", "±": "+-", "–": "-"}
SPELLED = "scaling-spelled"


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in letters that it has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (_LETTERS.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking)
    return "".join(shown), error.end


codecs.register_error(SPELLED, _spelled)


def has_all_letters() -> bool:
    """Whether standard output can show every character."""
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")


# Columns where nobody looks: a file or a pipe, if COLUMNS says nothing else.
UNSEEN_COLUMNS = 200


class PlainConsole(Console):
    """Prints what comes from a store, a file or a worker as it is.

    No markup, no emoji, and no control characters but its own: whoever can write a name or a log
    line could paint over the truth otherwise.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False)
        if not self.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
            self.width = UNSEEN_COLUMNS

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does, of text that has its final width: cells of tables are measured by it."""
        return super().render_str(plain(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Segments as rich makes them, with text alone in those that are no commands of its own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


# Bound to today's standard output, so that a library's can be silenced while ours is shown.
console = PlainConsole(sys.stdout)


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Shows what goes on until it is done; the function that it gives takes the latest."""
    with console.status(Text(what)) as shown:
        yield lambda now: shown.update(Text(now))


def _shipped(begun: str) -> list[str]:
    """Names of shipped studies that begin so; a shell completes files where there is none."""
    names = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    return [name for name in names if name.startswith(begun)]


StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study file, or the name of a shipped one.",
        autocompletion=_shipped,
    ),
]


StoreOption = Annotated[
    str, typer.Option("--store", help="Folder, or s3://, gs://, az:// URI. Default: runs/STUDY.")
]


JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object; docs/json/ has its schema.")
]


OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="KEY=VALUE",
        help="A part of the study: cells of this model, arm, target or seed. Repeatable: values of"
        " one key are alternatives.",
    ),
]


ForOption = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="TIME",
        help="Start no further step after so long, such as 30min or 1h30min. Run again to go on.",
    ),
]


OpenOption = Annotated[
    bool, typer.Option("--open-cluster", help="Also a cluster that obeys anybody, without a token.")
]


TokenOption = Annotated[
    str,
    typer.Option(
        "--send-token-to", metavar="HOST", help="May get your token over plain http: HEAD's name."
    ),
]


def open_store(study: Study, uri: str) -> Store:
    """The store at a URI; the study's own folder below `runs/` if it is empty."""
    return Store.open(uri or f"runs/{study.name}")


def gpu_of(study: Study, name: str | None) -> GpuSpec | None:
    """The GPU of this name, else the study's; None for a CPU."""
    name = name or study.gpu
    return get_gpu(name) if name else None


def open_study(name: str, uri: str) -> tuple[Study, Store, Plan]:
    """A study, its store, and the plan with whatever the store has resolved.

    UserError for another study's store.
    """
    study = load_study(name)
    store = open_store(study, uri)
    store.is_of(study.name)
    return study, store, current_plan(study, store)


def begun_study(name: str, uri: str) -> tuple[Study, Store, Plan]:
    """As `open_study`; UserError where nothing of the study has been staged or run yet."""
    study = load_study(name)
    store = begun_store(study, uri)
    return study, store, current_plan(study, store)


def begun_store(study: Study, uri: str) -> Store:
    """A study's store as it is; UserError where there is none, and for another study's."""
    store = open_store(study, uri)
    if not store.is_of(study.name):
        raise UserError(
            f"{store.uri} is no store of the study {study.name!r}; `scaling run` makes one"
        )
    return store


def step_called(plan: Plan, part: str) -> str:
    """The id of a plan's step, from its beginning or a part of it that no other step has.

    UserError names the ids that have the part, or the nearest.
    """
    if part in plan.steps:
        return part
    begin = [step for step in plan.steps if step.startswith(part)]
    found = begin or [step for step in plan.steps if part in step]
    if len(found) > 1:
        shown = ", ".join(found[:8]) + (f", … ({len(found)} in all)" if len(found) > 8 else "")
        raise UserError(f"{part!r} is a part of several steps: {shown}")
    return found[0] if found else known("step", part, plan.steps)


_UNITS = {"d": 86400, "h": 3600, "min": 60, "m": 60, "s": 1}


def seconds_of(text: str) -> float:
    """Seconds of `30min` or `1h30min`. UserError for anything else."""
    parts = re.findall(r"(\d{1,6})(d|h|min|m|s)", text)
    total = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if not total or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise UserError(f"--for {text}: no time; write it as 90s, 30min, 2h, 1h30min or 3d")
    return float(total)


def duration(seconds: float) -> str:
    """1 h 05 min, 3 min 20 s, 12 s."""
    if seconds >= 5400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
    if seconds >= 60:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{seconds:.0f} s"
