"""Plain text, one sentence or document a line, for masked language modelling.

With `form: ids` or `form: xml` the texts of such files (texts_by_id.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from scaling.data.readers.raw import numbered
from scaling.data.readers.texts_by_id import texts_by_id
from scaling.data.schema import ReadRequest, Row


def read_plain_text(request: ReadRequest) -> Iterator[Row]:
    """One row per text that is not empty."""
    for file, path in enumerate(request.files):
        number = 0
        for _, _, text in texts_by_id(request, path):
            if text.strip():
                yield {"id": numbered(request, file, number), "text": text}
                number += 1
