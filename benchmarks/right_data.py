"""Figures of `make bench-right`: what is read, refused and counted before anything trains."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.right_training import passed, row
from scaling.catalogue.models import ModelSpec
from scaling.study.study import STUDIES
from tests.helpers.mutations import WITHOUT_LINE, judge, spoilt_inputs, spoilt_models
from tests.helpers.tiny import make_model

FILES, MODELS = 2_400, 200


def field_cases() -> Iterator[dict[str, Any]]:
    met, value = passed(
        "tests/end_to_end/test_field_cases.py",
        "tests/kinds/test_text.py",
        "tests/kinds/test_span_qa.py",
        "tests/catalogue/test_definition.py",
    )
    yield row(
        "inputs of the field's complaints, and their kin, at their right value", "all", value, met
    )


def wrong_values() -> Iterator[dict[str, Any]]:
    start = time.monotonic()
    met, value = passed("tests/test_spec.py")
    seconds = time.monotonic() - start
    figure = "values of the wrong type or range, every field of every schema: refused at their line"
    yield row(figure, "all, ≤ 2 s each", f"{value}; {seconds:.0f} s in all", met)


def spoilt() -> Iterator[dict[str, Any]]:
    study = (STUDIES / "arms.yaml").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = judge(spoilt_inputs(folder, study, FILES))
        spec = ModelSpec(name="mine", **make_model(folder / "model", "xlm-roberta", 1))
        models = judge(spoilt_models(folder, spec, MODELS))
    total, refused = files.total + models.total, files.refused + models.refused
    broken = files.broken + models.broken
    without = files.without_place + models.without_place
    what = f"{total:,} spoilt study files, data files and model folders"
    yield row(f"{what}: tracebacks", "0", f"{len(broken)}", not broken)
    yield row(
        f"{what}: refusals that name file and line, or are one of {len(WITHOUT_LINE)} listed sorts",
        "all",
        f"{refused - len(without):,} of {refused:,}",
        not without,
    )


def planted_errors() -> Iterator[dict[str, Any]]:
    met, value = passed("tests/cli/test_app.py")
    figure = "commands: absurd values in one line, exit 2; a planted ValueError keeps its traceback"
    yield row(figure, "yes", value, met)


def real_files() -> Iterator[dict[str, Any]]:
    met, value = passed("tests/end_to_end/test_shared_files.py", "tests/catalogue/test_folders.py")
    yield row("real files: read to the counts of their manifest", "all", value, met)


FIGURES: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
    one.__name__: one for one in (field_cases, wrong_values, spoilt, planted_errors, real_files)
}
