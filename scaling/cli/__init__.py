"""The command line, one file per command. Exit code 2: what you gave is wrong."""

from __future__ import annotations

from rich.console import Console

# Importing a group registers its commands.
from scaling.cli import (
    calibrate,
    cancel,
    explain,
    gc,
    logs,
    plan,
    power,
    rates,
    recipes,
    report,
    run,
    schema,
    stage,
    status,
    submit,
)
from scaling.cli.app import app
from scaling.spec import BadFile
from scaling.store.store import StoreError

__all__ = [
    "app",
    "calibrate",
    "cancel",
    "explain",
    "gc",
    "logs",
    "main",
    "plan",
    "power",
    "rates",
    "recipes",
    "report",
    "run",
    "schema",
    "stage",
    "status",
    "submit",
]


def main() -> None:
    """Entry point: what the user gave wrong ends in one message and exit code 2."""
    try:
        app()
    except (BadFile, StoreError, ValueError) as error:
        if not _is_users(error):
            raise
        Console(stderr=True, highlight=False).print(
            f"[red]error[/red] {_plain(error)}", soft_wrap=True
        )
        raise SystemExit(2) from None


def _is_users(error: Exception) -> bool:
    """Our own complaints about input are ValueErrors with a message; a bug elsewhere keeps its
    traceback.
    """
    return (
        type(error).__module__.split(".")[0] in ("scaling", "analysis") or type(error) is ValueError
    )


def _plain(error: Exception) -> str:
    return str(error).replace("[", r"\[")
