"""Opening raw files, and naming the place of a defect in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from scaling.data.schema import BadData, ReadRequest
from scaling.spec import UserError, did_you_mean

DEFECTS = {
    "answer_elsewhere": (
        "an answer is not at its offset but elsewhere in its context: moved to the nearest"
        " occurrence"
    ),
    "answer_missing": (
        "an answer does not occur in its context: kept for scoring with start -1, no use for"
        " training"
    ),
    "empty_text": "a text is empty: kept",
    "empty_word": "a word is empty: replaced by U+FFFD, the replacement character",
    "masked_text": "a UD sentence's words are hidden (`_`) for copyright: left out, as XTREME does",
    "repeated_id": "an id occurs again: the later ones get a number",
    "size": "a split has another number of examples than `sizes` says: read as it is",
    "unlabelled": "an example has no gold label: left out",
    "untagged_word": "a word has no tag: tagged O, or X where O is no tag, as XTREME does",
}
"""Defects that published data really contain → what happens to them if `accept` in DataRef.options
lists them.

Without that, each is BadData. Accepted ones are appended to `request.defects` (a list), where the
request has one.
"""


def defect(request: ReadRequest, name: str, place: str, message: str) -> None:
    """Raise BadData, or record the defect where the task accepts it."""
    if name not in request.options.get("accept", ()):
        raise BadData(
            f"{place}: {message}. To count such rows instead, pass `--accept {name}`, or add"
            f" {name!r} to `accept` in the task's options"
        )
    recorded = getattr(request, "defects", None)
    if recorded is not None:
        recorded.append(f"{name}: {place}: {message}")


def checked_options(request: ReadRequest, valid: set[str]) -> None:
    """ValueError for options that the reader does not know, and for defects that do not exist."""
    # `ref` is for staging, the hub ref whose commit is resolved; `hold_out` for readers.whole.
    valid = valid | {"accept", "hold_out", "ref"}
    for option in request.options:
        if option not in valid:
            raise UserError(f"Unknown reader option {option!r}. {did_you_mean(option, valid)}")
    for name in request.options.get("accept", ()):
        if name not in DEFECTS:
            raise UserError(f"Unknown defect {name!r} in `accept`. {did_you_mean(name, DEFECTS)}")


def filled(template: str, request: ReadRequest) -> str:
    """`template` with {lang} replaced by the language's code in the upstream files."""
    return template.replace("{lang}", request.upstream_code)


@contextmanager
def open_text(path: Path, newline: str | None = "\n") -> Iterator[TextIO]:
    r"""UTF-8 text, decompressed (.gz, .tar.gz of one file), without a byte order mark; lines end at
    \n only.

    str.splitlines and universal newlines would split at the line separators that real sentences
    contain.
    """
    with _open_bytes(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline=newline)  # type: ignore[type-var]
        try:
            yield text
        except UnicodeDecodeError as error:
            raise BadData(
                f"{path}: byte {error.start} of a block is not UTF-8: {error.reason}"
            ) from error
        except (EOFError, gzip.BadGzipFile) as error:
            raise BadData(f"{path}: broken gzip file: {error}") from error


@contextmanager
def _open_bytes(path: Path) -> Iterator[Any]:
    if path.name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(path) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            if len(members) != 1:
                raise BadData(
                    f"{path}: an archive of {len(members)} files; exactly one is expected"
                )
            yield archive.extractfile(members[0])
    else:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, line without its end), the place being `file:line`."""
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            yield f"{path}:{number}", line.rstrip("\r\n")


def read_json(path: Path) -> Any:
    """The one JSON value in a file."""
    with open_text(path) as text:
        try:
            return json.load(text)
        except json.JSONDecodeError as error:
            raise BadData(
                f"{path}:{error.lineno}: broken JSON: {error.msg} at column {error.colno}"
            ) from error


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) for each line; empty lines are skipped."""
    for place, line in lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadData(f"{place}: broken JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(value, dict):
            raise BadData(f"{place}: expected a JSON object, found {type(value).__name__}")
        yield place, value


def only_file(request: ReadRequest, count: int = 1) -> tuple[Path, ...]:
    """The files of the request; BadData where there are not exactly `count`."""
    if len(request.files) != count:
        names = [path.name for path in request.files]
        raise BadData(
            f"{request.language} {request.split}: {count} file(s) expected, found {len(names)}:"
            f" {names}"
        )
    return tuple(request.files)


def numbered(request: ReadRequest, file: int, row: int) -> str:
    """The id of a row that has none upstream: the source's `name`, its file's number (of several),
    its number.
    """
    parts = [request.options.get("name"), None if len(request.files) == 1 else file, row]
    return "-".join(str(part) for part in parts if part is not None)
