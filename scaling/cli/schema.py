"""scaling schema: the JSON schema of a study file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scaling.cli.app import app
from scaling.cli.outputs import OUTPUTS
from scaling.spec import known
from scaling.study.study import Study


@app.command()
def schema(
    out: Annotated[Path | None, typer.Argument(help="File; standard output if absent.")] = None,
    of: Annotated[
        str, typer.Option(help=f"Of what a command prints with --json: {', '.join(OUTPUTS)}.")
    ] = "",
) -> None:
    """JSON schema of a study file, for editors; with --of, of what a command prints."""
    form = OUTPUTS[known("command", of, OUTPUTS)] if of else Study
    # What is printed has every key.
    content = form.model_json_schema(mode="serialization" if of else "validation")
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)
