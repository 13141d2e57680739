"""The report's directory: of an earlier report only what its analysis.lock lists is replaced."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.load import BadInput

LOCK = "analysis.lock"
_WRITING = ".writing-"
"""Beginning of the folder that a report is written into before it replaces an earlier one."""


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of the report in `out` once all of it is written.

    The new report's LOCK must be in it then; it gets `files`, name → SHA-256 of every other file.
    BadInput names a file in `out` that no report wrote, or says why `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        old = _earlier(out)
        with tempfile.TemporaryDirectory(dir=out, prefix=_WRITING) as name:
            place = Path(name)
            yield place
            _swap(place, out, old)
    except OSError as error:
        raise BadInput(f"no report can be written into {out}: {error.strerror or error}") from error


def _earlier(out: Path) -> set[str]:
    """Names of the files of the report in `out`; BadInput where other files are there."""
    found = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_file() and not path.relative_to(out).parts[0].startswith(_WRITING)
    }
    for path in out.glob(f"{_WRITING}*"):
        shutil.rmtree(path)  # of a report that was killed
    listed = {LOCK}
    if LOCK in found:
        try:
            listed |= set(json.loads((out / LOCK).read_text(encoding="utf-8"))["files"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{out / LOCK} does not list the files of its report, so that none is replaced:"
                " delete that report or name another folder."
            ) from error
    foreign = sorted(found - listed)
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise BadInput(
            f"{out / foreign[0]}{more} is not of a report: nothing is replaced. Move it away or"
            " name another folder."
        )
    return found


def _swap(place: Path, out: Path, old: set[str]) -> None:
    new = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    lock = json.loads((place / LOCK).read_text(encoding="utf-8"))
    files = {
        name: hashlib.sha256((place / name).read_bytes()).hexdigest()
        for name in new
        if name != LOCK
    }
    # First of all both reports are listed, so that an end in between leaves no foreign file.
    _write_lock(out / LOCK, lock | {"files": dict.fromkeys(sorted(old), "") | files})
    for name in files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).replace(out / name)
    for name in old - set(files) - {LOCK}:
        (out / name).unlink()
    gone = {(out / name).parent for name in old - set(files)} - {out}
    for folder in sorted(gone, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    _write_lock(out / LOCK, lock | {"files": files})


def _write_lock(path: Path, lock: dict[str, object]) -> None:
    path.write_text(json.dumps(lock, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
