"""scaling init: a commented study file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from scaling.cli.app import app, console
from scaling.spec import Name, UserError
from scaling.study.study import STUDIES

TEMPLATE = """\
# yaml-language-server: $schema=SCHEMA
# A study: who is helped by English intermediate training (phase ii), and does it help less as
# encoders grow? `scaling plan FILE` says what this takes, and runs nothing.
# All names: `scaling ls models`, tasks, languages, gpus; one of them: `scaling show xnli`.

# Also the name of the default store, runs/STUDY.
name: STUDY
title: Does intermediate training help less as XLM-R grows?

# Sizes of one family. Two give a slope, more give a curve.
models: [xlm-r-base, xlm-r-large]

# What happens in phase ii. `none` is what every other arm is compared with.
arms: [none, mnli, squad1]

# Tasks that are trained on English and scored in every language.
targets: [xnli, panx, tydiqa]

# Only these languages of the targets (English stays). Absent: all of them.
# languages: [sw, ur, te, yo]

# One replica of the whole pipeline each; `scaling power FILE` says what so many can detect.
seeds: [0, 1, 2]

# Most examples per language: a seeded sample. Absent: all of them.
# limits: {train: 10000, dev: 1000, test: 1000}

# Where it will run: `plan` places every step on it and counts its hours and dollars.
gpu: a100-80

# No step is started beyond this sum.
# budget_dollars: 500

# What the verdict is about, fixed before the data are seen.
question:
  # Or backbone_params, train_flops.
  x_axis: total_params
"""


@app.command()
def init(
    path: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="A new file; its name is the study's.")
    ] = Path("my_study.yaml"),
) -> None:
    """Write a commented study file that `plan` takes at once, with a line for your editor."""
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path}: a study file ends in .yaml, as in {path.name or 'my_study'}.yaml")
    try:
        TypeAdapter(Name).validate_python(path.stem)
    except ValidationError:
        raise UserError(
            f"{path}: the file's name is the study's, and {path.stem!r} can be none: small"
            " letters, digits, _ and - alone, as in my_study.yaml"
        ) from None
    if (STUDIES / f"{path.stem}.yaml").exists():
        raise UserError(f"{path}: {path.stem!r} is a shipped study; give yours a name of its own")
    text = TEMPLATE
    for blank, filled in {
        "SCHEMA": (STUDIES / "schema.json").as_uri(),
        "STUDY": path.stem,
        "FILE": str(path),
    }.items():
        text = text.replace(blank, filled)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{path} exists; name a new file") from None
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    console.print(f"{path}: edit it, then `scaling plan {path}`", soft_wrap=True)
