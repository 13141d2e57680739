"""Files below one root, wherever it is: what the store asks of any storage.

`LocalFiles` (local_files.py) is a folder of this machine or of a shared disk, `ObjectFiles`
(object_files.py) a prefix of a bucket. Nobody above these two sees a type of a storage library.

What holds for both:

- A name is relative and divided by `/`. Every method passes its names through `checked` first.
- Folders are only parts of names: writing a file makes those above it, and an empty one does not
  count. A name is a file or a folder, not both.
- A write is seen whole or not at all, and by everybody who reads or lists after it returned.
- A tag is opaque text for one version of one file. `look`, `entries`, `read`, `write`, `create` and
  `replace` name the same version by the same tag, and a later version by another one. Equal bodies
  may have equal tags: a body that is compared by its tag carries a nonce or a counter.
- Every error is an OSError: FileNotFoundError where a method says so, PermissionError,
  TimeoutError, or another with one line that says what went wrong, without secrets. Passing
  trouble was waited out before. A name that `checked` refuses is a StoreError.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from scaling.spec import UserError
from scaling.store.paths import is_inside

LONGEST_NAME = 900
"""Bytes of UTF-8. Object stores take 1,024 with the root's prefix."""


class StoreError(UserError):
    """The store cannot be used as asked; the message says which file and what to do."""


class StoreAway(OSError):
    """The store cannot be reached or written to now; the message says which file.

    Full, read-only, not mounted: it may come back, and nothing in it has to be mended.
    """


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file, as a look or a listing shows it."""

    name: str
    """Whole name, from the root."""
    size: int
    """Bytes."""
    at: datetime
    """When it was written, by the storage's own clock; with a time zone. May be whole seconds."""
    tag: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """A file that was read."""

    body: bytes
    tag: str


class Files(Protocol):
    """Files below one root."""

    @property
    def local(self) -> Path | None:
        """The root if it is a folder of this machine, else None."""

    def reach(self) -> None:
        """Ask one cheap question, before anything rests on this storage.

        OSError if the bucket is missing, the credentials are refused or nobody answers. A folder
        that does not exist yet is fine.
        """

    def try_conditions(self, name: str) -> None:
        """Find out, at a name that is free, whether `create` and `replace` are obeyed.

        Creates the file twice, replaces it by a stale tag, and deletes it. StoreError, which names
        the server, if a second create or the stale replace went through; OSError if it cannot be
        written to at all.
        """

    def look(self, name: str) -> Entry | None:
        """One file without its body; None where there is no such file."""

    def read(self, name: str) -> Content:
        """A whole file; FileNotFoundError where there is none."""

    def read_if_changed(self, name: str, tag: str) -> Content | None:
        """A whole file, or None if its tag is still this one; FileNotFoundError as of `read`."""

    def write(self, name: str, body: bytes) -> str:
        """Have a file hold this, whatever was there; its tag. The last of two writers wins."""

    def create(self, name: str, body: bytes) -> str | None:
        """Make a file that is not there yet; its tag, or None if there is one.

        Of many who try at once exactly one gets a tag, if their bodies differ. Where the file
        holds these very bytes already, both answers are right: a request may have been answered
        twice.
        """

    def replace(self, name: str, body: bytes, tag: str) -> str | None:
        """Write over the version with this tag; the new tag, or None if that is not there any more.

        None too if the file is gone. Of many who replace one version exactly one gets a tag, if
        their bodies differ. `body` has to differ from the old one.
        """

    def delete(self, name: str) -> None:
        """Delete a file; nothing happens where there is none."""

    def delete_all(self, prefix: str) -> None:
        """Delete every file below a folder; nothing happens where there is none."""

    def entries(self, prefix: str) -> list[Entry]:
        """Every file below a folder, however deep, in the order of names as text; [] if none.

        `""` is the root. Unfinished writes are not shown, nor markers of empty folders.
        """

    def names(self, prefix: str) -> list[str]:
        """What lies directly in a folder, in the order of names; [] if there is no such folder.

        Last parts of names alone; those of folders end in `/`. `""` is the root.
        """

    def upload(self, path: Path, name: str, *, move: bool = False) -> str:
        """Have a file hold what a local one does, of any size; its SHA-256 (hex).

        With `move` the local file is gone afterwards. Never whole in memory; hashed as it moves.
        FileNotFoundError if the local file is missing.
        """

    def download(self, name: str, path: Path) -> str:
        """Have a local file hold what this one does, of any size; its SHA-256 (hex).

        `path` is written over and is broken after an error; its folder exists. FileNotFoundError
        where there is no such file here. Never whole in memory; hashed as it moves.
        """

    def digest(self, name: str) -> str:
        """SHA-256 (hex) of a file, all of it read from the storage; FileNotFoundError as `read`.

        Never whole in memory.
        """

    def unfinished(self) -> list[Entry] | None:
        """Writes that were begun and neither done nor taken back, in the order of names.

        Temporary files of a folder, unfinished multipart uploads of a bucket; some may still be
        under way. None where this storage cannot list them.
        """

    def discard(self, entry: Entry) -> None:
        """Take back one of `unfinished`; nothing happens where it is gone."""


PART, LOCK = ".part-", ".replacing"
"""What a folder has beside its files: the beginnings of temporary names, and a lock for writers."""


def is_hidden(name: str) -> bool:
    """Whether this is no file of a store; a bucket has such where a folder was copied into it."""
    last = name.rpartition("/")[2]
    return last == LOCK or last.startswith(PART)


def checked(name: str) -> str:
    """`name` if it names something below the folder that it is joined to; StoreError otherwise."""
    if not is_inside(name):
        raise StoreError(
            f"{name!r} is no name of a file in a store: its parts, divided by /, may not be empty,"
            " '.' or '..', nor hold a backslash or a control character"
        )
    # Bytes of a folder that are no UTF-8 come as lone surrogates.
    if len(name.encode(errors="surrogatepass")) > LONGEST_NAME:
        raise StoreError(
            f"{name!r} is too long for a name in a store: {LONGEST_NAME} bytes at most"
        )
    return name
