"""Token sequences of one text or two, in XLM-R's form."""

from __future__ import annotations

from scaling.kinds.kind import BOS, EOS


def join_pair(first: list[int], second: list[int], max_length: int) -> tuple[list[int], bool]:
    """(<s> a </s> or <s> a </s></s> b </s>, whether it was cut).

    The longer text loses tokens first, at its end.
    """
    room = max_length - (4 if second else 2)
    a, b = len(first), len(second)
    if a + b > room:
        a, b = (room, 0) if not second else _share(a, b, room)
    ids = [BOS, *first[:a], EOS]
    if second:
        ids += [EOS, *second[:b], EOS]
    return ids, a < len(first) or b < len(second)


def _share(a: int, b: int, room: int) -> tuple[int, int]:
    """Lengths after taking tokens from the longer of two texts until they fit."""
    half = room // 2
    if a <= half:
        return a, room - a
    if b <= half:
        return room - b, b
    return room - half, half
