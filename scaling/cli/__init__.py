"""The command line, one file per command. Exit code 2: what you gave is wrong.

    app.py         the application, and what its commands share
    live.py        tables of how far a study is, again and again
    printed.py     what every JSON output is made of
    listed.py      what ls and show print
    outputs.py     what commands print with --json
    origin.py      data, models, code and cost of a report
    plan_notes.py  what `scaling plan` says below its table
    tables.py      tables that cut nothing

Every other file is the command of its name. May import every room below, and `analysis` for the
report; heavy libraries are imported inside the commands that need them.
"""

from __future__ import annotations

import io
import sys

from rich.text import Text

# Importing a group registers its commands.
from scaling.cli import (
    calibrate,
    cancel,
    cite,
    curves,
    doctor,
    explain,
    export,
    gc,
    init,
    logs,
    ls,
    plan,
    power,
    predictions,
    rates,
    recipes,
    report,
    run,
    schema,
    stage,
    status,
    submit,
    verdict,
)
from scaling.cli.app import SPELLED, PlainConsole, app
from scaling.spec import UserError
from scaling.store.files import StoreAway

__all__ = [
    "app",
    "calibrate",
    "cancel",
    "cite",
    "curves",
    "doctor",
    "explain",
    "export",
    "gc",
    "init",
    "logs",
    "ls",
    "main",
    "plan",
    "power",
    "predictions",
    "rates",
    "recipes",
    "report",
    "run",
    "schema",
    "stage",
    "status",
    "submit",
    "verdict",
]


def main() -> None:
    """Entry point: what the user gave wrong ends in one message and exit code 2.

    A store that cannot be used now ends in one message and exit code 1.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows what it cannot as text, and no traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELLED)
    try:
        app()
    except UserError as error:
        message = Text.assemble(("error", "red"), f" {error}")
        PlainConsole(sys.stderr).print(message, soft_wrap=True)
        raise SystemExit(2) from None
    except StoreAway as error:
        message = Text.assemble(
            ("error", "red"),
            f" {error}. What is done stays done: run it again when that is mended",
        )
        PlainConsole(sys.stderr).print(message, soft_wrap=True)
        raise SystemExit(1) from None
