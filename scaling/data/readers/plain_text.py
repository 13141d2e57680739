"""Plain text, one sentence or document a line, for masked language modelling."""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.readers.raw import lines, numbered
from scaling.data.schema import ReadRequest, Row


def read_plain_text(request: ReadRequest) -> Iterator[Row]:
    """One row per line that is not empty."""
    for file, path in enumerate(request.files):
        number = 0
        for _, line in lines(path):
            if line.strip():
                yield {"id": numbered(request, file, number), "text": line}
                number += 1
