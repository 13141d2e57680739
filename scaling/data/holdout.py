"""Dev and train from the same files: what belongs together stays together.

A query and its passages, the hypotheses of one premise, the questions on one paragraph: where some
are in train and some in dev, dev scores what was trained on, and a query loses its passage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence

from scaling.data.schema import Row


def part_of_split(rows: Sequence[Row], split: str, share: float) -> list[Row]:
    """The rows of `dev`, about a `share` (0 to 1) of the groups, or of `train`, all others.

    Which it is hangs on the context or id of a group's first row alone: the same on every machine,
    and for rows that stand alone the same as if there were no groups.
    """
    groups = _groups(rows)
    first: dict[int, Row] = {}
    for row, group in zip(rows, groups, strict=True):
        first.setdefault(group, row)
    in_dev = {
        group: _share(row.get("context") or row["id"]) < share for group, row in first.items()
    }
    return [
        row for row, group in zip(rows, groups, strict=True) if in_dev[group] == (split == "dev")
    ]


def _groups(rows: Sequence[Row]) -> list[int]:
    """The number of the first row that each row hangs together with, over any number of others."""
    parent = list(range(len(rows)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    holder: dict[Hashable, int] = {}
    for at, row in enumerate(rows):
        for key in _keys(row):
            a, b = root(at), root(holder.setdefault(key, at))
            parent[max(a, b)] = min(a, b)
    return [root(at) for at in range(len(rows))]


def _keys(row: Row) -> Iterator[Hashable]:
    """What a row shares with those that belong to it."""
    if "side" in row:
        is_query = row["side"].endswith("query")
        yield ("text", is_query, row["text"], row["context"])
        yield from (("id", name) for name in (row["relevant"] if is_query else [row["id"]]))
    elif "words" in row:
        yield tuple(row["words"])
    elif "text_a" in row:
        yield row["text_a"]
    elif "choices" in row and not row["context"]:
        yield row["question"] or row["id"]
    elif "context" not in row:
        yield row["text"]
    if row.get("context"):
        yield ("context", row["context"])


def _share(text: str) -> float:
    """A number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
