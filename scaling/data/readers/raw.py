"""Opening raw files, and naming the place of a defect in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from scaling.catalogue.readers import READER_KINDS, SHARED, option_fault
from scaling.data.schema import BadData, ReadRequest, number_fault, text_fault
from scaling.typos import did_you_mean

MOST_TIMES = 200
MOST_UNPACKED_BYTES = 64 * 2**20
"""Of a packed file: what is larger unpacked than this, and so many times its packed size, is made
to fill a memory. Text packs to a tenth."""
MOST_LINE = 2**24
"""Characters."""

MOST_DEFECTS = 0.02
"""Share of a split that may have a defect which nobody counted beforehand."""


def defect(request: ReadRequest, name: str, place: str, message: str) -> None:
    """Raise BadData, or record the defect where the task accepts it.

    Args:
        request: Its options list the defects that are accepted.
        name: A key of `DEFECTS`.
        place: `file:line`.
        message: What is wrong.
    """
    count_defect(name, place, message, request.options.get("accept", ()), request.defects)


def count_defect(
    name: str, place: str, message: str, accepted: Collection[str], defects: list[str]
) -> None:
    """Add to `defects`, or raise BadData where the defect's name is not among the accepted ones.

    Args:
        name: one of DEFECTS.
        place: file and line, or task and split.
        message: what is wrong.
        accepted: names of defects.
        defects: grows by one line, which begins with the name.
    """
    if name not in accepted:
        raise BadData(
            f"{place}: {message}. To count such rows instead, pass `--accept {name}`, or add"
            f" {name!r} to `accept` in the task's options: up to {MOST_DEFECTS:.0%} of a split, or"
            " exactly as many as the task's `defects` say"
        )
    defects.append(f"{name}: {place}: {message}")


def check_options(reader: str, request: ReadRequest) -> None:
    """BadData for an option that the reader does not know, or whose value it cannot use."""
    valid = dict(SHARED)
    for options in READER_KINDS[reader].values():
        valid |= options
    for name, value in request.options.items():
        if name not in valid:
            raise BadData(f"Unknown reader option {name!r}. {did_you_mean(name, valid)}")
        if fault := option_fault(valid[name], value):
            raise BadData(f"reader {reader}: the option {name!r} {fault}")


def filled(template: str, request: ReadRequest) -> str:
    """`template` with {lang} replaced by the language's code in the upstream files."""
    return template.replace("{lang}", request.upstream_code)


@contextmanager
def open_text(path: Path, newline: str | None = "\n") -> Iterator[TextIO]:
    r"""UTF-8 text of a file, unpacked if it is .gz, .tar.gz or .tgz, without a byte order mark.

    An archive has one file. By default lines end at `\n` only: str.splitlines and universal
    newlines would split at characters that real sentences contain. `newline=""` is for csv.reader,
    which wants the ends of lines as they are.
    """
    with _open_bytes(path) as stream:
        text = io.TextIOWrapper(  # type: ignore[type-var]
            stream, encoding="utf-8-sig", newline=newline
        )
        try:
            yield text
        except UnicodeDecodeError as error:
            raise BadData(f"{path}:{_undecodable(path)}: not UTF-8: {error.reason}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
            raise BadData(f"{path}: broken gzip file or archive: {error}") from error


def _undecodable(path: Path) -> int:
    """The number of the first line that is not UTF-8."""
    number = 1
    try:
        with _open_bytes(path) as stream:
            for line in stream:
                line.decode()
                number += 1
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError):
        # Broken bytes may decompress to broken text.
        pass
    return number


class _Bounded(io.RawIOBase):
    """What a packed file holds; BadData where it is far more than text of its size can be."""

    def __init__(self, path: Path, packed: gzip.GzipFile) -> None:
        super().__init__()
        self._path, self._packed = path, packed
        self._most = max(MOST_UNPACKED_BYTES, MOST_TIMES * path.stat().st_size)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always; backwards means from the start again."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of any stream."""
        count = self._packed.readinto(buffer)
        self._check(self._packed.tell())
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """From the start, or from where it is."""
        at = offset + (self._packed.tell() if whence == io.SEEK_CUR else 0)
        self._check(at)
        return self._packed.seek(at)

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._packed.tell()

    def _check(self, at: int) -> None:
        if at > self._most:
            raise BadData(
                f"{self._path}: more than {self._most:,} bytes unpacked, of"
                f" {self._path.stat().st_size:,} packed ones"
            )


@contextmanager
def _open_bytes(path: Path) -> Iterator[Any]:
    if path.suffix != ".gz" and path.suffix != ".tgz":
        with path.open("rb") as stream:
            yield stream
        return
    with gzip.open(path) as packed:
        bounded = io.BufferedReader(_Bounded(path, packed), 2**16)
        if not path.name.endswith((".tar.gz", ".tgz")):
            yield bounded
            return
        with _only_member(path, bounded) as member:
            yield member


@contextmanager
def _only_member(path: Path, stream: Any) -> Iterator[Any]:
    """The one file of an archive, read where it lies: nothing is ever written by a member's name.

    Folders and links beside it are left alone.
    """
    try:
        archive = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115 (it is closed below)
        count, found = 0, None
        for member in archive:
            if member.isfile():
                count, found = count + 1, found or member
            if count > 1:
                break
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise BadData(f"{path}: broken archive: {error}") from error
    with archive:
        if found is None or count > 1:
            raise BadData(
                f"{path}: an archive of {'several' if count else 'no'} files; exactly one is"
                " expected"
            )
        yield archive.extractfile(found)


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """(place, line without its end), the place being `file:line`. BadData for an endless one."""
    number = 0
    with open_text(path) as text:
        while line := text.readline(MOST_LINE):
            number += 1
            if len(line) == MOST_LINE:
                raise BadData(f"{path}:{number}: a line of {MOST_LINE:,} characters or more")
            yield f"{path}:{number}", line.rstrip("\r\n")


def read_json(path: Path) -> Any:
    """The one JSON value in a file."""
    with open_text(path) as text:
        return _parsed(text.read(), str(path), lambda error: f"{path}:{error.lineno}")


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) for each line, empty ones skipped, or for each object of a file of an array.

    No line of objects begins with a bracket, so that one at the beginning tells an array.
    """
    with open_text(path) as text:
        is_array = next((line for line in text if line.strip()), "").lstrip().startswith("[")
    if is_array:
        yield from json_array(path, list_of(str(path), "the file", read_json(path)))
        return
    for place, line in lines(path):
        if not line.strip():
            continue
        value = _parsed(line, place, lambda error, place=place: place)  # type: ignore[misc]
        yield place, _object(place, value)


def json_array(path: Path, items: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) for each item of an array of a file; BadData for what is no object."""
    for number, item in enumerate(items, start=1):
        place = f"{path}: item {number}"
        yield place, _object(place, item)


def _object(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadData(f"{place}: expected a JSON object, found {type(value).__name__}")
    return value


def _parsed(text: str, place: str, place_of: Callable[[json.JSONDecodeError], str]) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = Counter(name for name, _ in pairs)
            twice = next(name for name, count in names.items() if count > 1)
            raise BadData(f"{place}: the key {twice!r} is there twice in one object")
        return found

    def no_number(name: str) -> Any:
        raise BadData(f"{place}: {name} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise BadData(
            f"{place_of(error)}: broken JSON: {error.msg} at column {error.colno}"
        ) from error
    except RecursionError as error:
        raise BadData(f"{place}: JSON that is too deep") from error
    except ValueError as error:
        if isinstance(error, BadData):
            raise
        # A number of more digits than Python reads.
        raise BadData(f"{place}: broken JSON: {error}") from error


def part_of(place: str, whole: Any, name: str) -> Any:
    """`whole[name]`; BadData names what is there instead."""
    if not isinstance(whole, Mapping):
        raise BadData(f"{place}: an object with {name!r} is due, found {whole!r:.60}")
    if name not in whole:
        raise BadData(f"{place}: no field {name!r}; there: {sorted(map(str, whole))}")
    return whole[name]


def text_of(place: str, name: str, value: Any) -> str:
    """`value`, which must be text; BadData names it by `name`."""
    if fault := text_fault(value):
        raise BadData(f"{place}: {name!r} {fault}")
    return str(value)


def id_of(place: str, name: str, value: Any) -> str:
    """An id, which may be a whole number in the file; BadData names it by `name`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not (found := text_of(place, name, value)).strip():
        raise BadData(f"{place}: the id in {name!r} is empty")
    return found


def number_of(place: str, name: str, value: Any) -> int:
    """`value`, which must be a whole number; BadData names it by `name`."""
    if fault := number_fault(value):
        raise BadData(f"{place}: {name!r} {fault}")
    return int(value)


def list_of(place: str, name: str, value: Any) -> list[Any]:
    """`value`, which must be a list; BadData names it by `name`."""
    if not isinstance(value, list | tuple):
        raise BadData(f"{place}: {name!r} should be a list, found {value!r:.60}")
    return list(value)


def texts_of(place: str, name: str, value: Any) -> list[str]:
    """`value`, which must be a list of texts; BadData names it by `name`."""
    return [text_of(place, name, item) for item in list_of(place, name, value)]


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
    """The id of a row that has none: the source's `name`, its file's number, its own number.

    A single file is not numbered.
    """
    parts = [request.options.get("name"), None if len(request.files) == 1 else file, row]
    return "-".join(str(part) for part in parts if part is not None)
