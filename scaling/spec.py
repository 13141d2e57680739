"""The base of everything a user may write in YAML: frozen, complete, and helpful about typos."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import core_schema

from scaling.typos import Place, all_faults, did_you_mean

M = TypeVar("M", bound=BaseModel)


class UserError(ValueError):
    """What was given is wrong; the message is complete. Ends a command in one line and exit code 2.

    Every other exception is a bug of ours or a failure of the machine, and keeps its traceback. A
    ValueError, so that pydantic takes it for a fault of the field that is being validated.
    """


class BadFile(UserError):
    """A file of the user's that cannot be used; the message is complete."""


class FieldError(UserError):
    """A fault of one field inside what is being validated; `path` leads to it from there.

    Where a name is wrong, `name` is it and `valid` are the names in its place.
    """

    def __init__(
        self, path: Place, message: str, name: str = "", valid: Iterable[str] = ()
    ) -> None:
        super().__init__(message)
        self.path = path
        self.name = name
        self.valid = tuple(valid)

    def __reduce__(self) -> tuple[Any, ...]:
        return FieldError, (self.path, str(self), self.name, self.valid)

    def below(self, path: Place) -> FieldError:
        """The same fault, seen from further out: `path` leads to where it was raised."""
        return FieldError((*path, *self.path), str(self), self.name, self.valid)


MOST_DEPTH = 50
MOST_BYTES = 2**20
"""Of a file that a person writes: levels inside each other, and its size."""


class _Loader(yaml.SafeLoader):
    """Refuses what makes a small file large: aliases, and any depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias; write the value out", problem_mark=mark)
        if self.depth == MOST_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"more than {MOST_DEPTH} levels inside each other", problem_mark=mark
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse(text: str, name: str) -> tuple[Any, dict[Place, int]]:
    """(content, line of every key and item) of a YAML text.

    BadFile for broken YAML and for a key that is there twice.
    """
    if len(text) > MOST_BYTES:
        raise BadFile(f"{name}: {len(text):,} characters; {MOST_BYTES:,} are the most")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadFile(f"{name}:{line}: not YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{ord(text[error.position]):04X}"
        raise BadFile(f"{name}:{line}: not YAML: the character {character}") from error
    lines: dict[Place, int] = {}
    values = yaml.SafeLoader("")

    def scalar(node: yaml.Node) -> Any:
        line = node.start_mark.line + 1
        try:
            return values.construct_object(node)
        except (yaml.MarkedYAMLError, ValueError, OverflowError) as error:
            # A date that is none, a number of thousands of digits, a tag of another program.
            reason = getattr(error, "problem", None) or error
            shown = f"{node.value!r:.40}"
            raise BadFile(f"{name}:{line}: {shown} cannot be read: {reason}") from error

    def build(node: yaml.Node, path: Place) -> Any:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return scalar(node)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise BadFile(f"{name}:{lines[path]}: a tag {node.tag!r}; write a plain value")
        if isinstance(node, yaml.SequenceNode):
            return [build(item, (*path, index)) for index, item in enumerate(node.value)]
        content: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise BadFile(f"{name}:{line}: a key that is no plain text")
            key = scalar(key_node)
            if key in content:
                raise BadFile(
                    f"{name}:{line}: {key!r} is there twice, first in line {lines[(*path, key)]}"
                )
            lines[(*path, key)] = line
            content[key] = build(value_node, (*path, key))
        return content

    return ({} if node is None else build(node, ())), lines


def validated(model: type[M], content: Any, lines: dict[Place, int], name: str) -> M:
    """`content` as a `model`; BadFile with one line per fault otherwise, in the order of the lines.

    Args:
        model: what the content must be.
        content: as `parse` gives it.
        lines: line of every key and item, as `parse` gives them.
        name: of the file, for messages.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        told = sorted(all_faults(model, content, lines, error), key=lambda fault: fault[0])
        raise BadFile("\n".join(f"{name}:{line}: {text}" for line, text in told)) from error


def first_fault(error: ValidationError) -> str:
    """The first fault of something that nobody writes by hand, and its place: one line."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def load(model: type[M], path: Path) -> tuple[M, dict[Place, int]]:
    """The validated content of a YAML file, and the line of every key."""
    text = read_text(path)
    content, lines = parse(text, str(path))
    return validated(model, content, lines, str(path)), lines


def read_text(path: Path) -> str:
    """The UTF-8 text of a file of the user's.

    BadFile names the files that are there, or the line that is no UTF-8.
    """
    try:
        if not path.is_file():
            siblings = (
                [item.name for item in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
            )
            raise BadFile(f"{path}: no such file. {did_you_mean(path.name, siblings)}")
        with path.open("rb") as file:
            content = file.read(4 * MOST_BYTES)
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFile(f"{path}:{line}: not UTF-8: {error.reason}") from error


_COMMIT = r"^[0-9a-f]{40}$"


def is_commit(text: str) -> bool:
    """Whether a text is a commit of 40 hex digits: a branch or a tag would move."""
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
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


MOST = 10**9
"""The largest whole number that a field takes which says no other."""


def _is_exact(expected: Sequence[Any]) -> Callable[[Any], Any]:
    """Refuses what equals one of some values and is of another type: `true` for 1."""
    types = {type(value) for value in expected}

    def check(value: Any) -> Any:
        if type(value) not in types:
            raise UserError(f"should be one of {', '.join(map(repr, expected))}")
        return value

    return check


def _tighten(schema: Any) -> None:
    """Make every scalar in a core schema strict: no `true`, `'0'` or 1.0 for a whole number."""
    if isinstance(schema, list | tuple):
        for item in schema:
            _tighten(item)
    if not isinstance(schema, dict):
        return
    if schema.get("type") in ("int", "float", "bool", "str"):
        schema["strict"] = True
    if schema.get("type") == "int" and not {"le", "lt"} & schema.keys():
        schema["le"] = MOST
    for name, item in schema.items():
        if name not in ("metadata", "default"):
            _tighten(item)
    if schema.get("type") == "literal" and not isinstance(schema["expected"][0], str):
        plain = dict(schema)
        schema.clear()
        wrap = core_schema.no_info_before_validator_function
        schema.update(wrap(_is_exact(plain["expected"]), plain))  # type: ignore[arg-type]


class Spec(BaseModel):
    """Frozen data, strict about what is written.

    Unknown keys, values of another type, numbers that are none, and lists that name something twice
    are refused; `validated` turns that into a message with a suggestion.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema = handler(source)
        _tighten(schema)
        return schema

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        for name in self.model_fields_set:
            value = getattr(self, name)
            for key, items in value.items() if isinstance(value, dict) else [(None, value)]:
                if not isinstance(items, tuple) or not all(map(_is_plain, items)):
                    continue
                twice = next((item for item in items if items.count(item) > 1), None)
                if twice is not None:
                    path = (name,) if key is None else (name, key)
                    raise FieldError(path, f"{twice!r} is there twice")
        return self


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def known(what: str, value: str, valid: Iterable[str], kind: str = "", path: Place = ()) -> str:
    """`value` if it is one of `valid`; FieldError naming the nearest ones otherwise.

    Args:
        what: is named, in the message.
        value: that is checked.
        valid: names.
        kind: what `scaling ls` calls them.
        path: to the field.
    """
    valid = list(valid)
    if value not in valid:
        hint = did_you_mean(value, valid, kind)
        raise FieldError(path, f"Unknown {what} {value!r}. {hint}", value, valid)
    return value
