"""YAML with line numbers, and errors that name file, line, field and the valid values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from scaling.spec import did_you_mean

Path_ = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)


class BadFile(ValueError):
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
