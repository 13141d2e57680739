"""Reading invented and real files in tests."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scaling.catalogue.task import DataRef, TaskSpec
from scaling.data.readers import READERS, find_files
from scaling.data.schema import ReadRequest, Row

_ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SCALING_SHARED", _ROOT.parent / "shared")) / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(),
    reason="no ../shared/data beside the repository and SCALING_SHARED not set: real files missing",
)


@dataclass(frozen=True, kw_only=True)
class Request(ReadRequest):
    defects: list[str] = field(default_factory=list)


def read(
    reader: str,
    files: Sequence[Path],
    options: Mapping[str, Any] | None = None,
    *,
    labels: Sequence[str] = (),
    language: str = "en",
    code: str = "",
    split: str = "test",
    defects: list[str] | None = None,
) -> list[Row]:
    request = Request(
        language=language,
        split=split,
        files=files,
        upstream_code=code or language,
        options=options or {},
        labels=labels,
        defects=[] if defects is None else defects,
    )
    return list(READERS[reader](request))


def read_task(
    task: TaskSpec, ref: DataRef, language: str, split: Any, defects: list[str]
) -> list[Row]:
    """Rows of one split of a dir: source below SHARED."""
    code = ref.codes.get(language, language)
    files = find_files(ref, split, code, SHARED / ref.source.removeprefix("dir:"))
    accepted = sorted({*(ref.options.get("accept") or ()), *task.defects})
    return read(
        ref.reader,
        files,
        {**ref.options, **({"accept": accepted} if accepted else {})},
        labels=task.labels,
        language=language,
        code=code,
        split=split,
        defects=defects,
    )


def num_examples(rows: Sequence[Row]) -> int:
    """Rows, of retrieval the queries."""
    return sum(row.get("side") != "candidate" for row in rows)
