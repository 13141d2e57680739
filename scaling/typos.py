"""Nearest names, and a copy of a file's content that is mended so that the rest can be checked."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

Place = tuple[str | int, ...]
"""Keys and positions that lead from the top of a file to something in it."""

NEAR = 0.5
"""A name so like another may be meant by it: 1 is the same."""
SURE = 0.6
"""A name so like another is taken for it while the rest of the file is checked."""
MOST_LISTED = 12
"""Valid names that a message lists; of more it gives the nearest and the number."""


def likeness(value: str, name: str) -> float:
    """How alike two names are, 0 to 1, whatever their case."""
    return difflib.SequenceMatcher(None, name.casefold(), value.casefold()).ratio()


def nearest(value: str, valid: Iterable[str]) -> list[str]:
    """The valid names, each once, the most alike first."""
    return sorted(set(valid), key=lambda name: (-likeness(value, name), name))


def did_you_mean(value: str, valid: Iterable[str], kind: str = "") -> str:
    """A sentence that names the nearest valid values, and all of them where they are few.

    `kind` is what `scaling ls` calls them, for where they are many.
    """
    names = nearest(value, valid)
    near = [name for name in names[:3] if likeness(value, name) >= NEAR]
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    if len(names) <= MOST_LISTED:
        return f"{hint}Valid: {', '.join(names) or '(none)'}."
    where = f"; `scaling ls {kind}` lists them" if kind else ""
    shown = ", ".join(names[:MOST_LISTED])
    return f"{hint}Valid: {shown}, … ({len(names)} in all{where})."


class Draft:
    """The content of a file, in which what is wrong is mended or taken out, fault by fault.

    It knows where everything that is still there stood in the file.
    """

    def __init__(self, content: Any, lines: Mapping[Place, int]) -> None:
        self.content = copy.deepcopy(content)
        self.lines = lines
        self.origin = {place: place for place in lines}
        self.taken_out: set[str] = set()
        """Texts that are not there any more: a later fault that names one may be due to that."""

    def within(self, place: Place) -> Place:
        """The innermost thing of the content that a place leads to or through."""
        current: Any = self.content
        at = 0
        for part in place:
            keys: Any = range(len(current)) if isinstance(current, list) else current
            if not isinstance(current, dict | list) or part not in keys:
                break
            current = current[part]  # type: ignore[index]
            at += 1
        return place[:at]

    def get(self, place: Place) -> Any:
        """What is at a place."""
        current = self.content
        for part in place:
            current = current[part]
        return current

    def found(self, place: Place) -> tuple[int, Place]:
        """The line in the file of what is now at a place, and its place there."""
        for end in range(len(place), -1, -1):
            origin = self.origin.get(place[:end])
            if origin is not None:
                return self.lines[origin], origin + place[end:]
        return 1, place

    def put(self, place: Place, value: Any) -> None:
        """A value in the place of what is there, if anything is."""
        self.get(place[:-1])[place[-1]] = value

    def rename(self, place: Place, name: str) -> None:
        """Another key for what is at a place, in the same position."""
        mapping = self.get(place[:-1])
        entries = [(name if key == place[-1] else key, value) for key, value in mapping.items()]
        mapping.clear()
        mapping.update(entries)
        self._move(place, (*place[:-1], name))

    def remove(self, place: Place) -> None:
        """Take out what is at a place."""
        parent = self.get(place[:-1])
        self.taken_out |= {str(place[-1]), *_texts(parent.pop(place[-1]))}
        self._move(place, None)
        if isinstance(parent, list):
            for at in range(int(place[-1]) + 1, len(parent) + 1):
                self._move((*place[:-1], at), (*place[:-1], at - 1))

    def _move(self, old: Place, new: Place | None) -> None:
        inside = [place for place in self.origin if place[: len(old)] == old]
        moved = {place: self.origin.pop(place) for place in inside}
        if new is not None:
            self.origin |= {(*new, *place[len(old) :]): was for place, was in moved.items()}


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value}.union(*map(_texts, value.values()))
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {str(value)}
