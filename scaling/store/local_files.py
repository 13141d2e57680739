"""Files of a store that is a folder of this machine, or of a disk that several machines share.

A write is a temporary file (`.part-…`) that is on disk before it takes its name, by a link that is
refused where the name is taken, or by a rename that is not. `replace` also holds the lock of its
folder (`.replacing`). Modes are those of the umask, so that colleagues read each other's files.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from scaling.store.files import (
    LOCK,
    PART,
    Content,
    Entry,
    StoreAway,
    StoreError,
    checked,
    is_hidden,
)

# Seconds between tries to read one file: a mount may be away for a moment.
_READ_PAUSES = (0.1, 0.5, 2.0)
_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class LocalFiles:
    """Files below a folder, which the first write makes."""

    root: Path
    anchor: str
    """Once this file was there, the folder is gone without it, and not a new one.

    Else what is missing would be taken for what was never made, and a second store would grow in
    the place of one that is not mounted.
    """
    _seen: list[str] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if os.path.exists(self.root / self.anchor):
            self._see(self.anchor)

    @property
    def local(self) -> Path:
        """As in `Files`."""
        return self.root

    def path(self, name: str) -> Path:
        """Where a file or folder lies, which may not exist.

        StoreError for a name that leads elsewhere: a link below a folder would make another one
        part of the store.
        """
        path = self.root
        for part in checked(name).split("/"):
            path = path / part
            if path.is_symlink():
                raise StoreError(f"{path} is a link; a store has none. Put its files there")
        return path

    def reach(self) -> None:
        """As in `Files`."""
        self._check_there()

    def try_conditions(self, name: str) -> None:
        """As in `Files`; a mounted bucket may have no hard links, an old network disk no locks."""
        try:
            first = self.create(name, b"1")
            stale = self.replace(name, b"2", first or "")
            obeyed = (
                first is not None
                and stale is not None
                and self.create(name, b"3") is None
                and self.replace(name, b"4", first) is None
            )
        finally:
            self.delete(name)
            (self.path(name).parent / LOCK).unlink(missing_ok=True)
        if not obeyed:
            raise StoreError(f"{self.root} lets two processes write one file: use another --store")

    def look(self, name: str) -> Entry | None:
        """As in `Files`."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = self.path(name).stat()
            if not stat.S_ISDIR(found.st_mode):
                return _entry(name, found)
        self._check_there()
        return None

    def read(self, name: str) -> Content:
        """As in `Files`."""
        path = self.path(name)
        for pause in (*_READ_PAUSES, None):
            try:
                with path.open("rb") as stream:
                    tag = _tag(os.fstat(stream.fileno()))
                    content = Content(body=stream.read(), tag=tag)
                self._see(name)
                return content
            except (FileNotFoundError, NotADirectoryError) as error:
                self._check_there()
                raise FileNotFoundError(errno.ENOENT, "no such file", str(path)) from error
            except OSError:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable")

    def read_if_changed(self, name: str, tag: str) -> Content | None:
        """As in `Files`."""
        found = self.look(name)
        if found is not None and found.tag == tag:
            return None
        return self.read(name)

    def write(self, name: str, body: bytes) -> str:
        """As in `Files`."""
        target = self.path(name)
        self._make_folder(target.parent)
        with _temporary(target, body) as (temporary, stream):
            os.replace(temporary, target)
            self._see(name)
            return _tag(os.fstat(stream.fileno()))

    def create(self, name: str, body: bytes) -> str | None:
        """As in `Files`. Exact on network file systems too: a hard link is made or refused."""
        target = self.path(name)
        self._make_folder(target.parent)
        with _temporary(target, body) as (temporary, stream):
            try:
                os.link(temporary, target)
            except FileExistsError:
                return None
            self._see(name)
            return _tag(os.fstat(stream.fileno()))

    def replace(self, name: str, body: bytes, tag: str) -> str | None:
        """As in `Files`. Exact among those who use this method."""
        target = self.path(name)
        self._make_folder(target.parent)
        with _temporary(target, body) as (temporary, stream), _locked(target.parent / LOCK):
            try:
                before = target.stat()
            except FileNotFoundError:
                self._check_there()
                return None
            if _tag(before) != tag:
                return None
            # A file system may give the number of a file that is gone again within one tick of its
            # clock.
            at = max(os.fstat(stream.fileno()).st_mtime_ns, before.st_mtime_ns + 1)
            os.utime(stream.fileno(), ns=(at, at))
            os.replace(temporary, target)
            return _tag(os.fstat(stream.fileno()))

    def delete(self, name: str) -> None:
        """As in `Files`."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self.path(name).unlink()

    def delete_all(self, prefix: str) -> None:
        """As in `Files`; the folder itself goes too."""
        folder = self.path(prefix)
        for _ in range(10):
            try:
                shutil.rmtree(folder)
                return
            except (FileNotFoundError, NotADirectoryError):
                if not folder.is_dir():
                    return
            except OSError as error:
                # Somebody wrote into it meanwhile.
                if error.errno != errno.ENOTEMPTY:
                    raise
        raise OSError(errno.ENOTEMPTY, "is written to while it is deleted", str(folder))

    def move_folder(self, folder: Path, name: str) -> None:
        """Have a local folder, which then is gone, take the place of one of the store."""
        target = self.path(name)
        self.delete_all(name)
        self._make_folder(target.parent)
        os.replace(folder, target)

    def entries(self, prefix: str) -> list[Entry]:
        """As in `Files`. StoreError for a link."""
        found = [entry for entry in self._all(prefix) if not is_hidden(entry.name)]
        if not found:
            self._check_there()
        return found

    def names(self, prefix: str) -> list[str]:
        """As in `Files`. StoreError for a link."""
        found = [
            f"{inside.name}/" if inside.is_dir(follow_symlinks=False) else inside.name
            for inside in _inside(self.path(prefix) if prefix else self.root)
            if not is_hidden(inside.name)
        ]
        if not found:
            self._check_there()
        return sorted(found)

    def upload(self, path: Path, name: str, *, move: bool = False) -> str:
        """As in `Files`; nothing is moved where the file is the local one."""
        target = self.path(name)
        with path.open("rb") as stream:
            if path == target:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        self._make_folder(target.parent)
        if move:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            shutil.move(path, target)
            return digest
        part = _part(target)
        try:
            digest = _copy(path, part)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return digest

    def download(self, name: str, path: Path) -> str:
        """As in `Files`."""
        try:
            return _copy(self.path(name), path)
        except FileNotFoundError:
            self._check_there()
            raise

    def digest(self, name: str) -> str:
        """As in `Files`."""
        try:
            with self.path(name).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            self._check_there()
            raise

    def unfinished(self) -> list[Entry]:
        """As in `Files`: temporary files."""
        return [e for e in self._all("") if e.name.rpartition("/")[2].startswith(PART)]

    def discard(self, entry: Entry) -> None:
        """As in `Files`."""
        self.delete(entry.name)

    def _all(self, prefix: str) -> list[Entry]:
        """Every file below a folder, temporary ones too, in the order of names."""
        found: list[Entry] = []
        waiting = [(self.path(prefix) if prefix else self.root, f"{prefix}/" if prefix else "")]
        while waiting:
            folder, above = waiting.pop()
            for inside in _inside(folder):
                name = f"{above}{inside.name}"
                if inside.is_dir(follow_symlinks=False):
                    waiting.append((folder / inside.name, f"{name}/"))
                    continue
                # Deleted since.
                with suppress(FileNotFoundError):
                    found.append(_entry(name, inside.stat(follow_symlinks=False)))
        return sorted(found, key=lambda entry: entry.name)

    def _see(self, name: str) -> None:
        if name == self.anchor:
            self._seen[:] = [name]

    def _make_folder(self, folder: Path) -> None:
        """Make a folder, and the store's own only where none was before."""
        if not folder.is_dir():
            self._check_there()
            folder.mkdir(parents=True, exist_ok=True)

    def _check_there(self) -> None:
        """StoreAway if the store that was there is not."""
        if self._seen and not (self.root / self.anchor).exists():
            raise StoreAway(errno.ENOENT, f"{self.root} is gone (is its disk mounted?)")


def _inside(folder: Path) -> list[os.DirEntry[str]]:
    """What lies directly in a folder; [] if there is none. StoreError for a link."""
    try:
        found = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    for one in found:
        if one.is_symlink():
            raise StoreError(f"{one.path} is a link; a store has none. Put its files there")
    return found


def _entry(name: str, found: os.stat_result) -> Entry:
    at = datetime.fromtimestamp(found.st_mtime, UTC)
    return Entry(name=name, size=found.st_size, at=at, tag=_tag(found))


def _tag(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"


def _part(target: Path) -> Path:
    return target.parent / f"{PART}{secrets.token_hex(8)}"


@contextmanager
def _temporary(target: Path, body: bytes) -> Iterator[tuple[Path, BinaryIO]]:
    """A file beside the target with this content on disk, gone afterwards whatever happens."""
    part = _part(target)
    try:
        with part.open("xb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
            yield part, stream
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, made if it is not there, which dies with this process."""
    while True:
        with path.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            try:
                # Deleted while it was waited for: others hold a new one.
                is_it = path.stat().st_ino == os.fstat(stream.fileno()).st_ino
            except FileNotFoundError:
                is_it = False
            if is_it:
                yield
                return


def _copy(source: Path, target: Path) -> str:
    """Copy a file; its SHA-256."""
    hashing = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as written:
        while chunk := read.read(_CHUNK_BYTES):
            hashing.update(chunk)
            written.write(chunk)
    return hashing.hexdigest()
