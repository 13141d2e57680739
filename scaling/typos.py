"""All that is wrong in a file in one run, and the nearest names.

Faults hide each other: a name is looked up only where the structure is right. So a draft of the
content is mended, fault by fault, and looked at again.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]
"""Keys and positions that lead from the top of a file to something in it."""

NEAR = 0.5
"""A name so like another may be meant by it: 1 is the same. One that is less like all others is
taken for it while the rest of the file is checked."""
MOST_LISTED = 12
MOST_SHOWN = 5
"""Valid names that a message lists; of more it gives the nearest and the number, fewer where
`scaling ls` has the rest."""


def likeness(value: str, name: str) -> float:
    """How alike two names are, 0 to 1, whatever their case."""
    return difflib.SequenceMatcher(None, name.casefold(), value.casefold()).ratio()


def nearest(value: str, valid: Iterable[str]) -> list[str]:
    """The valid names, each once, the most alike first; of equally alike ones, as they begin."""

    def rank(name: str) -> tuple[float, int, str]:
        begin = next(
            (at for at in range(len(value)) if name[: at + 1] != value[: at + 1]), len(value)
        )
        return -likeness(value, name), -begin, name

    return sorted(set(valid), key=rank)


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
    shown = ", ".join(names[: MOST_SHOWN if kind else MOST_LISTED])
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
        self.emptied: set[Place] = set()
        """Places in the file that something was taken out of, or that were taken out."""

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
        self.emptied |= {self.found(place[:-1])[1]}
        if isinstance(parent, dict):
            self.emptied |= {self.found(place)[1]}
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


def _model_at(annotation: Any, place: Place) -> type[BaseModel] | None:
    """The model of what is at a place, as far as the annotations tell."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not place:
            return annotation
        field = annotation.model_fields.get(str(place[0]))
        return _model_at(field.annotation, place[1:]) if field else None
    if origin is Annotated:
        return _model_at(arguments[0], place)
    if origin is dict:
        return _model_at(arguments[1], place[1:]) if place else None
    if origin in (tuple, list):
        return _model_at(arguments[0], place[1:]) if place else None
    found = (_model_at(argument, place) for argument in arguments)
    return next((model for model in found if model is not None), None)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong, as far as it can be told by itself."""

    place: Place
    kind: Literal["key", "name", "missing", "value", "whole"]
    """A key or a name that is none; a key that is missing; a value that no field of its kind takes;
    what only several values together make wrong."""
    message: str
    name: str = ""
    """The key or name that is wrong."""
    valid: tuple[str, ...] = ()
    """Names in its place."""


def faults_of(model: type[BaseModel], error: ValidationError) -> list[Fault]:
    """What is wrong with a document, in its order."""
    found = [_fault(model, fault) for fault in error.errors()]
    # A field that takes a name or something else has a fault for each: the name's tells most.
    named = {fault.place for fault in found if fault.kind == "name"}
    # A list is said to be empty where all of its items are wrong.
    around = {fault.place[:end] for fault in found for end in range(len(fault.place))}
    return [
        fault
        for fault in found
        if fault.kind != "value" or (fault.place[:-1] not in named and fault.place not in around)
    ]


def _fault(model: type[BaseModel], given: Any) -> Fault:
    cause = given.get("ctx", {}).get("error")
    # Which way of writing a value was taken stands in brackets.
    loc = (part for part in given["loc"] if part == "[key]" or not str(part).startswith("["))
    place = (*loc, *getattr(cause, "path", ()))
    value = given["input"]
    if given["type"] == "extra_forbidden":
        owner = _model_at(model, place[:-1])
        valid, key = tuple(owner.model_fields if owner else ()), str(place[-1])
        text = f"unknown key {key!r}. {did_you_mean(key, valid)}"
        return Fault(place=place, kind="key", message=text, name=key, valid=valid)
    if given["type"] == "literal_error" and isinstance(value, str):
        valid = tuple(re.findall(r"'([^']*)'", given["ctx"]["expected"]))
        if place[-1] == "[key]" or str(place[-1]).startswith("literal["):
            place = place[:-1]
        text = f"{value!r} is no valid value. {did_you_mean(value, valid)}"
        return Fault(place=place, kind="name", message=text, name=value, valid=valid)
    if wrong := getattr(cause, "name", ""):
        valid = cause.valid
        return Fault(place=place, kind="name", message=str(cause), name=wrong, valid=valid)
    text = given["msg"].removeprefix("Value error, ")
    if not isinstance(value, dict | list | tuple | BaseModel):
        text += f" (got {value!r:.80})"
    if isinstance(value, bool) and given["type"] == "string_type":
        text += ". YAML reads no, off, yes and on as false and true: put it in quotes"
    kind = {"missing": "missing", "value_error": "whole"}.get(given["type"], "value")
    return Fault(place=place, kind=kind, message=text)  # type: ignore[arg-type]


MOST_LOOKS = 100
"""Of one file: each look finds at least one more fault."""


def all_faults(
    model: type[BaseModel], content: Any, lines: dict[Place, int], error: ValidationError
) -> list[tuple[int, str]]:
    """(line, place and message) of everything wrong that can be told in one run.

    Some faults are seen only where others are not: what was found is mended in a draft, or taken
    out, until nothing more is found. What may be due to the mending is not told.

    Args:
        model: what the content must be.
        content: of the file.
        lines: line of every key and item.
        error: of the first look.
    """
    draft = Draft(content, lines)
    told: dict[tuple[int, str], None] = {}
    guessed: list[Place] = []
    as_written = True
    for _ in range(MOST_LOOKS):
        faults = faults_of(model, error)
        # Keys first: what stands under a wrong one is missed elsewhere.
        keys = [fault for fault in faults if fault.kind == "key"]
        for fault in keys or faults:
            line, place = draft.found(fault.place)
            due_to_mending = (
                (fault.kind == "whole" and not as_written)
                or (fault.kind in ("missing", "value") and place in draft.emptied)
                or fault.name in draft.taken_out
                or any(place[: len(near)] == near for near in guessed)
            )
            if not due_to_mending:
                told[line, f"{'.'.join(map(str, place)) or 'file'}: {fault.message}"] = None
        as_written = as_written and bool(keys) and all(_guess(draft, fault) for fault in keys)
        # From the end, so that what is taken out moves no place that is still to be mended.
        mended = [_mend(model, draft, fault, guessed) for fault in reversed(keys or faults)]
        if not any(mended):
            break
        try:
            model.model_validate(draft.content)
            break
        except ValidationError as next_error:
            error = next_error
    return list(told)


def _guess(draft: Draft, fault: Fault) -> str:
    """The valid name that is meant by a wrong one, not yet there; '' where that is not clear."""
    place = draft.within(fault.place)
    beside = draft.get(place[:-1]) if place else ()
    taken = beside if isinstance(beside, dict | list) else ()
    near = nearest(fault.name, [name for name in fault.valid if name not in taken])
    best, second, *_ = [likeness(fault.name, one) for one in near[:2]] + [0.0, 0.0]
    return near[0] if best >= NEAR and best > second else ""


def _mend(
    model: type[BaseModel],
    draft: Draft,
    fault: Fault,
    guessed: list[Place],
) -> bool:
    """Whether what is wrong could be mended in the draft, or taken out.

    Args:
        model: what the draft should become.
        draft: that is changed.
        fault: in it.
        guessed: gets the places in which nothing can be trusted any more.
    """
    place = draft.within(fault.place)
    if fault.kind == "missing":
        owner = _model_at(model, fault.place[:-1])
        examples = owner.model_fields[str(fault.place[-1])].examples if owner else None
        if examples and place == fault.place[:-1]:
            draft.put(fault.place, examples[0])
            return True
    elif fault.kind in ("key", "name") and place:
        guess = _guess(draft, fault)
        is_key = fault.kind == "key" or (place == fault.place and place[-1] == fault.name)
        if is_key and draft.get(place) != fault.name:
            if guess:
                draft.rename(place, guess)
            else:
                draft.remove(place)
            return True
        if draft.get(place) == fault.name:
            beside = draft.get(place[:-1])
            free = [one for one in nearest(fault.name, fault.valid) if one not in beside]
            if not guess:
                # What depends on it is in the same mapping; at the top of a file, nothing.
                around = place[:-1]
                while around and not isinstance(draft.get(around), dict):
                    around = around[:-1]
                guessed.append(draft.found(around or place)[1])
            if guess or free:
                draft.put(place, guess or free[0])
                return True
    if not place:
        return False
    draft.remove(place)
    return True
