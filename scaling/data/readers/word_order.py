"""Plain text as it is or with its words shuffled: a task of form, not meaning (Chang & Lu 2021)."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scaling.data.readers.raw import lines, numbered
from scaling.data.schema import ReadRequest, Row

_MIN_WORDS = 4


def real_and_shuffled(text: str, key: str) -> Iterator[Row]:
    """Two rows of classification, `real` and `shuffled`.

    None of a text with fewer than four different words.
    """
    words = text.split()
    if len(set(words)) < _MIN_WORDS:
        return
    rng = random.Random(text)
    mixed = words[:]
    while mixed == words:
        rng.shuffle(mixed)
    yield {"id": f"{key}-real", "text_a": " ".join(words), "text_b": "", "label": "real"}
    yield {"id": f"{key}-shuffled", "text_a": " ".join(mixed), "text_b": "", "label": "shuffled"}


def read_word_order(request: ReadRequest) -> Iterator[Row]:
    """Rows of the classification schema, two for each line."""
    for file, path in enumerate(request.files):
        for number, (_, line) in enumerate(lines(path)):
            yield from real_and_shuffled(line, numbered(request, file, number))
