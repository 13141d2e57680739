"""The base of everything a user may write in YAML: frozen, complete, and helpful about typos."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

_COMMIT = r"^[0-9a-f]{40}$"


def is_commit(text: str) -> bool:
    return re.fullmatch(_COMMIT, text) is not None


def _commit(value: str) -> str:
    if not is_commit(value):
        raise ValueError(
            "not a commit of 40 hex digits, and a branch or a tag moves. Leave the revision out,"
            " and the first staging asks the hub and locks what it says"
        )
    return value


Commit = Annotated[
    str, AfterValidator(_commit), WithJsonSchema({"type": "string", "pattern": _COMMIT})
]

# Steps, files and folders are named by it. No dot: that divides the parts of a step's name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Spec(BaseModel):
    """Frozen data; unknown keys are refused (scaling.study.study turns that into a message with a
    suggestion).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True
    )


class FieldError(ValueError):
    """A fault of one field inside what is being validated; `path` leads to it from there."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def did_you_mean(value: str, valid: Iterable[str]) -> str:
    """A sentence that names the nearest valid values, and all of them where they are few."""
    valid = sorted(valid)
    near = difflib.get_close_matches(value, valid, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    listed = ", ".join(valid[:40]) + (f", … ({len(valid)} in all)" if len(valid) > 40 else "")
    return f"{hint}Valid: {listed or '(none)'}."


def known(what: str, value: str, valid: Iterable[str]) -> str:
    """`value` if it is one of `valid`; ValueError naming the nearest ones otherwise."""
    valid = list(valid)
    if value not in valid:
        raise ValueError(f"Unknown {what} {value!r}. {did_you_mean(value, valid)}")
    return value
