"""scaling schema: the JSON schema of a study file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from scaling.cli.app import app
from scaling.study.study import Study


@app.command()
def schema(
    out: Annotated[Path | None, typer.Argument(help="File; standard output if absent.")] = None,
) -> None:
    """JSON schema of a study file, for editors."""
    text = json.dumps(Study.model_json_schema(), indent=1, sort_keys=True) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)
