"""The base of everything a user may write in YAML: frozen, complete, and helpful about typos."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

Path_ = tuple[str | int, ...]


M = TypeVar("M", bound=BaseModel)


class UserError(ValueError):
    """What was given is wrong; the message is complete. Ends a command in one line and exit code 2.

    Every other exception is a bug of ours or a failure of the machine, and keeps its traceback. A
    ValueError, so that pydantic takes it for a fault of the field that is being validated.
    """


class BadFile(UserError):
    """A file of the user's that cannot be used; the message is complete."""


def parse(text: str, name: str) -> tuple[Any, dict[Path_, int]]:
    """(content, line of every key and item). BadFile for broken YAML and for a key that is there
    twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadFile(f"{name}:{line}: not YAML: {error.problem}") from error
    lines: dict[Path_, int] = {}

    def build(node: yaml.Node, path: Path_) -> Any:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            content: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = yaml.SafeLoader("").construct_object(key_node)
                line = key_node.start_mark.line + 1
                if key in content:
                    raise BadFile(
                        f"{name}:{line}: {key!r} is there twice, first in line"
                        f" {lines[(*path, key)]}"
                    )
                lines[(*path, key)] = line
                content[key] = build(value_node, (*path, key))
            return content
        if isinstance(node, yaml.SequenceNode):
            return [build(item, (*path, index)) for index, item in enumerate(node.value)]
        return yaml.SafeLoader("").construct_object(node)

    return ({} if node is None else build(node, ())), lines


def _fields_at(model: type[BaseModel], path: Path_) -> list[str]:
    """Names that are valid where `path` points, as far as the models tell."""
    current: Any = model
    for part in path:
        if isinstance(part, int) or not (
            isinstance(current, type) and issubclass(current, BaseModel)
        ):
            continue
        info = current.model_fields.get(part)
        if info is None:
            return []
        current = next(
            (
                item
                for item in _walk(info.annotation)
                if isinstance(item, type) and issubclass(item, BaseModel)
            ),
            None,
        )
    return (
        list(current.model_fields)
        if isinstance(current, type) and issubclass(current, BaseModel)
        else []
    )


def _walk(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation] if not arguments else [leaf for item in arguments for leaf in _walk(item)]


def validated(model: type[M], content: Any, lines: dict[Path_, int], name: str) -> M:
    """`content` as a `model`; BadFile with one line per fault otherwise."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        messages = []
        for fault in error.errors():
            path = (*fault["loc"], *getattr(fault.get("ctx", {}).get("error"), "path", ()))
            line = next((lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in lines), 1)
            where = ".".join(map(str, path)) or "file"
            if fault["type"] == "extra_forbidden":
                valid = _fields_at(model, path[:-1])
                text = f"unknown key {path[-1]!r}. {did_you_mean(str(path[-1]), valid)}"
            else:
                text = fault["msg"].removeprefix("Value error, ")
                if not isinstance(fault["input"], dict | list):
                    text += f" (got {fault['input']!r})"
            messages.append(f"{name}:{line}: {where}: {text}")
        raise BadFile("\n".join(messages)) from error


def load(model: type[M], path: Path) -> tuple[M, dict[Path_, int]]:
    """The validated content of a YAML file, and the line of every key."""
    if not path.is_file():
        siblings = (
            [item.name for item in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        )
        raise BadFile(f"{path}: no such file. {did_you_mean(path.name, siblings)}")
    content, lines = parse(path.read_text(encoding="utf-8"), str(path))
    return validated(model, content, lines, str(path)), lines


_COMMIT = r"^[0-9a-f]{40}$"


def is_commit(text: str) -> bool:
    return re.fullmatch(_COMMIT, text) is not None


def _commit(value: str) -> str:
    if not is_commit(value):
        raise UserError(
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


class FieldError(UserError):
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
        raise UserError(f"Unknown {what} {value!r}. {did_you_mean(value, valid)}")
    return value
