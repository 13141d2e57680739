"""Files of one store: their names are in every error, and what JSON says carries a digest."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from scaling.store.files import Content, Entry, Files, StoreAway, StoreError, checked
from scaling.store.local_files import LocalFiles
from scaling.store.paths import is_plain
from scaling.store.records import digest_of

# What to do about a file that is broken.
_MEND = "restore it, or delete it"
_MENDS = {
    "lock.json": "restore it, or use a new --store; its steps rest on it",
    "study.json": 'restore it, or write {"name": STUDY} into it',
    "sizes.json": "delete it, and `scaling stage` counts again",
    "stop.json": "delete it",
    "calibration.json": "delete it, and `scaling calibrate` measures again",
    "registered": "restore it: the report says by it what was asked before there were data",
    "sessions": "restore it, or delete it: what that session lost is not counted as spent then",
}
_DIGEST = "digest"


@dataclass(frozen=True)
class Place:
    """Files below one root, by `/`-separated relative names, on any storage.

    Every method that takes a name refuses one that could lead elsewhere, with a StoreError, and
    says StoreAway with the file's name where the storage cannot be used now.
    """

    uri: str
    files: Files = field(repr=False, compare=False)
    _watched: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False, compare=False)
    """File → its tag, and when this process saw that first, by its own clock."""

    @property
    def local(self) -> Path | None:
        """The root as a path if the store is a folder of this machine."""
        return self.files.local

    def local_path(self, name: str) -> Path | None:
        """Where a file or folder lies, which may not exist; None in a store that is no folder."""
        checked(name)
        return self.files.path(name) if isinstance(self.files, LocalFiles) else None

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return self.look(name) is not None

    def look(self, name: str) -> Entry | None:
        """A file without its body; None where there is none."""
        with self._named(name):
            return self.files.look(name)

    def written_at(self, name: str) -> datetime | None:
        """When a file was written, by the store's own clock; None where there is none."""
        found = self.look(name)
        return None if found is None else found.at

    def read(self, name: str) -> bytes:
        """The whole file; FileNotFoundError where there is none."""
        return self.read_tagged(name).body

    def read_tagged(self, name: str) -> Content:
        """The whole file with its tag; FileNotFoundError where there is none."""
        with self._named(name):
            return self.files.read(name)

    def read_json(self, name: str) -> Any:
        """What a JSON file of the store says.

        StoreError with its name if it is no JSON, or not what `write_json` wrote. Files of older
        versions have no digest; of them only the form is checked.
        """
        return self.parse_json(name, self.read(name))

    def parse_json(self, name: str, text: bytes | str) -> Any:
        """What the text of a JSON file of the store says, as `read_json`."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.broken(name, str(error)) from error
        digest = raw.pop(_DIGEST, None) if isinstance(raw, dict) else None
        if digest is not None and digest != digest_of(raw):
            raise self.broken(name, "its digest is another")
        return raw

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object with a digest over the whole of it."""
        self.write(name, whole_json(content))

    def broken(self, name: str, what: str) -> StoreError:
        """The error for a file of the store that holds something else than it should."""
        mend = _MENDS.get(name) or _MENDS.get(name.partition("/")[0], _MEND)
        return StoreError(f"{self.uri}/{name} is broken ({what}): {mend}")

    def write(self, name: str, content: bytes | str) -> None:
        """All or nothing: a reader sees the old file, the new one, or none, never a part."""
        with self._named(name):
            self.files.write(name, _raw(content))

    def create(self, name: str, content: bytes | str) -> str | None:
        """Write a file that does not exist yet; its tag, or None where there is one.

        Of many who try at once exactly one gets a tag, if their contents differ.
        """
        with self._named(name):
            return self.files.create(name, _raw(content))

    def replace(self, name: str, content: bytes | str, tag: str) -> str | None:
        """Write over the version with this tag; the new tag, or None where that is not there.

        Of many who try at once exactly one gets a tag, if their contents differ.
        """
        with self._named(name):
            return self.files.replace(name, _raw(content), tag)

    def watch(self, name: str, tag: str, *, seconds: float = 0.0) -> float:
        """Seconds that a file is known to have had this tag, by this process's own clock.

        A tag that was not seen before has had it for `seconds`, by what another process saw.
        """
        now = time.monotonic()
        before, since = self._watched.get(name, ("", now))
        if before != tag:
            since = now - seconds
            self._watched[name] = tag, since
        return now - since

    def unchanged(self, seconds: float) -> dict[str, str]:
        """File → its tag, of those that `watch` has seen unchanged for longer, whenever asked."""
        before = time.monotonic() - seconds
        return {name: tag for name, (tag, since) in self._watched.items() if since < before}

    def delete(self, name: str) -> None:
        """Delete a file; nothing if it is not there."""
        with self._named(name):
            self.files.delete(name)

    def delete_folder(self, name: str) -> None:
        """Delete a folder with all that lies in it; nothing if it is not there."""
        with self._named(name):
            self.files.delete_all(name)

    def download(self, name: str, path: Path) -> str:
        """Have a local file hold what one here does; its SHA-256. FileNotFoundError as `read`."""
        with self._named(name):
            return self.files.download(name, path)

    def digest(self, name: str) -> str:
        """SHA-256 of a file, read from the storage; FileNotFoundError as of `read`."""
        with self._named(name):
            return self.files.digest(name)

    def entries(self, folder: str) -> list[Entry]:
        """Every file below a folder, however deep, in the order of names."""
        with self._named(folder):
            return self.files.entries(folder)

    def names(self, folder: str) -> list[str]:
        """What lies directly in a folder, in the order of names; those of folders end in `/`."""
        with self._named(folder):
            return self.files.names(folder)

    def unfinished(self) -> list[Entry] | None:
        """Writes that were begun and not ended; None where the storage cannot list them."""
        with self._named("unfinished writes"):
            return self.files.unfinished()

    def discard(self, entry: Entry) -> None:
        """Take back one of `unfinished`."""
        with self._named(entry.name):
            self.files.discard(entry)

    def upload(self, folder: Path, name: str, *, move: bool = False) -> dict[str, str]:
        """Copy a local folder into the store; relative file name → SHA-256.

        With `move` the local folder is gone afterwards. StoreError, before anything is copied, for
        a name that the store refuses.
        """
        checked(name)
        files = _files_in(folder)
        for relative in files:
            checked(f"{name}/{relative}")
        hashes = {}
        for relative, path in files.items():
            with self._named(f"{name}/{relative}"):
                hashes[relative] = self.files.upload(path, f"{name}/{relative}", move=move)
        if move:
            shutil.rmtree(folder, ignore_errors=True)
        return hashes

    def replace_folder(self, folder: Path, name: str) -> dict[str, str]:
        """Have a local folder, which then is gone, take the place of one of the store.

        File → SHA-256. In a local store that is one move: nobody sees half of both.
        """
        files = self.files
        if not isinstance(files, LocalFiles):
            self.delete_folder(name)
            return self.upload(folder, name, move=True)
        hashes = {}
        for file, path in _files_in(folder).items():
            checked(f"{name}/{file}")
            hashes[file] = sha256(path)
        with self._named(name):
            files.move_folder(folder, name)
        return hashes

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """StoreAway with the file's name for what the storage says of it."""
        try:
            yield
        except (FileNotFoundError, StoreAway):
            raise
        except OSError as error:
            said = error.strerror or str(error)
            raise StoreAway(error.errno or errno.EIO, f"{self.uri}/{name}: {said}") from error


def whole_json(content: Mapping[str, Any]) -> str:
    """A JSON object with a digest over the whole of it."""
    return json.dumps({**content, _DIGEST: digest_of(content)}, indent=1, sort_keys=True)


def _raw(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _files_in(folder: Path) -> dict[str, Path]:
    """Relative name → file of a local folder, in the order of names."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def plain_name(name: str) -> str:
    """`name` if a step or an owner may be called so; StoreError otherwise."""
    if not is_plain(checked(name)):
        raise StoreError(
            f"{name!r} is no name of a step or of who works on it: letters, digits and _.+- alone,"
            " beginning with a letter, a digit or _"
        )
    return name


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
