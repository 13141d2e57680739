"""Files in a bucket of S3, GCS or Azure, by obstore.

A file is created once, or replaced by its tag, by a condition that the server obeys in one step. An
answer may be lost or late, and writes that overlap may all be refused: then reading settles who
won. That rests on bodies that differ, so a body that is compared carries a nonce.

A server that ignores conditions is found out by `try_conditions` and refused.
"""

from __future__ import annotations

import errno
import hashlib
import random
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions

from scaling.store.buckets import Bucket, Patience, check_process, connect, read_uri
from scaling.store.files import Content, Entry, StoreError, checked, is_hidden
from scaling.store.multipart import abort_upload, unfinished_uploads
from scaling.store.object_errors import FAULTS, is_unsettled, os_error, said_by

ROUNDS = 6
"""How often a conditional write is tried until reading has settled it."""
UPLOAD_PART = 16 << 20
"""Bytes. S3 takes 10,000 parts: 160 GB a file."""
DOWNLOAD_PART = 32 << 20
"""Bytes. Smaller files are one request."""
AT_ONCE = 8
"""Parts in flight, up or down: 256 MiB at most."""
_BODY_TRIES = 4
_MOST_VERSIONS = 4096


@dataclass(frozen=True, kw_only=True)
class ObjectFiles:
    """`Files` below a prefix of a bucket.

    Clients are made at the first request of a process. They do not live on in a process that is
    forked from it: every method is an OSError there, which says so.
    """

    bucket: Bucket
    patience: Patience = field(default_factory=Patience)
    connect: Callable[[Bucket, Patience, str], Any] = connect
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _versions: OrderedDict[str, tuple[str, str]] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )
    """GCS: name → (tag, generation), as last seen. There a condition names the generation."""

    @staticmethod
    def at(uri: str) -> ObjectFiles:
        """The files at a URI, of which nothing is asked yet; StoreError as of `read_uri`."""
        return ObjectFiles(bucket=read_uri(uri))

    def __reduce__(self) -> tuple[Any, ...]:
        """Clients stay in their process."""
        return _remade, (self.bucket, self.patience, self.connect)

    @property
    def local(self) -> Path | None:
        """None: no folder of this machine."""
        return None

    # Questions

    def reach(self) -> None:
        """Ask for one name of the listing: OSError if nobody there answers us."""
        with self._asked("", "first") as client:
            next(iter(obstore.list(client, self._key(""), chunk_size=1)), None)

    def try_conditions(self, name: str) -> None:
        """Create a file twice and replace it by a stale tag, as `Files` says."""
        bodies = [f'{{"probe": "{uuid.uuid4().hex}"}}'.encode() for _ in range(4)]
        problem = None
        try:
            tag = self.create(name, bodies[0])
            if tag is None:
                problem = "refuses to make a file that is not there"
            elif self.create(name, bodies[1]) is not None:
                problem = "makes a file that is there already (If-None-Match: * is ignored)"
            elif self.replace(name, bodies[2], tag) is None:
                problem = "refuses to replace the version that is there (If-Match)"
            elif self.replace(name, bodies[3], tag) is not None:
                problem = "replaces a version that is gone (If-Match is ignored)"
            elif self.read(name).body != bodies[2]:
                problem = "returns another body than it was given"
        finally:
            # What went wrong before says more.
            with suppress(OSError):
                self.delete(name)
        if problem:
            raise StoreError(
                f"{self.bucket} {problem}: two workers could both be told that a record is theirs."
                " Use a store with conditional writes: S3, GCS, Azure, or a server that obeys them"
            )

    def look(self, name: str) -> Entry | None:
        """One file without its body; None where there is no such file."""
        try:
            with self._asked(name) as client:
                return self._entry(name, obstore.head(client, self._key(name)))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> Content:
        """A whole file; FileNotFoundError where there is none."""
        return self._get(name, {})

    def read_if_changed(self, name: str, tag: str) -> Content | None:
        """A whole file, or None if its tag is still this one; FileNotFoundError as of `read`."""
        try:
            return self._get(name, {"if_none_match": _quoted(tag)})
        except _Unchanged:
            return None

    def entries(self, prefix: str) -> list[Entry]:
        """Every file below a folder, as `Files` says; 1,000 a request.

        Other libraries mark a folder by an empty object of its name. One with files below it is
        left out; another looks like an empty file.
        """
        with self._asked(prefix) as client:
            metas = obstore.list(client, self._key(prefix), chunk_size=1000).collect()
        found = [
            self._entry(self._name(meta["path"]), meta)
            for meta in metas
            if not is_hidden(meta["path"])
        ]
        folders = {"", prefix}
        for entry in found:
            above = entry.name.rpartition("/")[0]
            while above not in folders:
                folders.add(above)
                above = above.rpartition("/")[0]
        return sorted(
            (entry for entry in found if entry.size or entry.name not in folders),
            key=lambda entry: entry.name,
        )

    def names(self, prefix: str) -> list[str]:
        """What lies directly in a folder, as `Files` says; 1,000 a request."""
        with self._asked(prefix) as client:
            found = obstore.list_with_delimiter(client, self._key(prefix))
        below = {self._name(path).rpartition("/")[2] for path in found["common_prefixes"]}
        files = {
            self._name(meta["path"]).rpartition("/")[2]
            for meta in found["objects"]
            if self._name(meta["path"]) != prefix and not is_hidden(meta["path"])
        }
        return sorted({*(f"{name}/" for name in below), *(files - below)} - {"", "/"})

    # Writes

    def write(self, name: str, body: bytes) -> str:
        """Have a file hold this, whatever was there; its tag."""
        with self._asked(name) as client:
            result = obstore.put(client, self._key(name), body, use_multipart=False)
        return self._tag(name, result)

    def create(self, name: str, body: bytes) -> str | None:
        """Make a file that is not there yet, as `Files` says; its tag, or None."""
        return self._conditional(name, body, None)

    def replace(self, name: str, body: bytes, tag: str) -> str | None:
        """Write over the version with this tag, as `Files` says; the new tag, or None."""
        return self._conditional(name, body, tag)

    def _conditional(self, name: str, body: bytes, tag: str | None) -> str | None:
        """The only sender of conditions: create where `tag` is None, else replace that version.

        A refusal may be the answer to this very write, sent twice by the library, or to none of
        two that overlapped. So what is there decides: this body is a win, another one a loss, and
        the version that was to be replaced, or none to be created over, another try.
        """
        key = self._key(name)
        for turn in range(ROUNDS):
            mode: Any = "create" if tag is None else self._version(name, tag)
            if mode is None:
                return None
            try:
                with self._asked(name, translating=False) as client:
                    return self._tag(name, obstore.put(client, key, body, mode=mode))
            except FileNotFoundError as error:
                # Azure and some others say so of the version that was to be replaced.
                translated = os_error(error, self.bucket, name)
                if tag is None or not isinstance(translated, FileNotFoundError):
                    raise translated from error
                return None
            except FAULTS as error:
                if not is_unsettled(error):
                    raise os_error(error, self.bucket, name) from error
            try:
                found = self.read(name)
            except FileNotFoundError:
                if tag is not None:
                    return None
            else:
                if found.body == body:
                    return found.tag
                if found.tag != tag:
                    return None
            time.sleep(random.uniform(0.5, 1.0) * 0.1 * 2**turn)
        raise OSError(
            errno.EIO,
            f"nobody can say whether {name!r} was written: {ROUNDS} tries without an answer that"
            " holds",
        )

    def delete(self, name: str) -> None:
        """Delete a file; nothing happens where there is none."""
        with suppress(FileNotFoundError), self._asked(name) as client:
            obstore.delete(client, self._key(name))

    def delete_all(self, prefix: str) -> None:
        """Delete every file below a folder; nothing happens where there is none."""
        for _ in range(ROUNDS):
            with self._asked(prefix) as client:
                metas = obstore.list(client, self._key(prefix), chunk_size=1000).collect()
                if not metas:
                    return
                # Azure and GCS end the batch at one that somebody else has deleted meanwhile.
                with suppress(FileNotFoundError):
                    obstore.delete(client, [meta["path"] for meta in metas])
                    return
        raise OSError(errno.EBUSY, f"{prefix!r} is not empty after {ROUNDS} rounds of deleting")

    # Large files

    def upload(self, path: Path, name: str, *, move: bool = False) -> str:
        """Have a file hold what a local one does; its SHA-256. Parts go side by side."""
        key, digest = self._key(name), hashlib.sha256()
        with path.open("rb") as stream:

            def parts() -> Iterator[bytes]:
                while part := stream.read(UPLOAD_PART):
                    digest.update(part)
                    yield part

            if path.stat().st_size <= UPLOAD_PART:
                body = b"".join(parts())
                with self._asked(name, "bulk") as client:
                    obstore.put(client, key, body, use_multipart=False)
            else:
                with self._asked(name, "bulk") as client:
                    obstore.put(
                        client, key, parts(), chunk_size=UPLOAD_PART, max_concurrency=AT_ONCE
                    )
        if move:
            path.unlink()
        return digest.hexdigest()

    def download(self, name: str, path: Path) -> str:
        """Have a local file hold what this one does; its SHA-256. Parts come side by side."""
        digest = hashlib.sha256()
        with path.open("wb") as stream:
            for part in self._parts(name):
                digest.update(part)
                stream.write(part)
        return digest.hexdigest()

    def digest(self, name: str) -> str:
        """SHA-256 of a file, all of it read; FileNotFoundError as of `read`."""
        digest = hashlib.sha256()
        for part in self._parts(name):
            digest.update(part)
        return digest.hexdigest()

    def _parts(self, name: str) -> Iterator[Any]:
        """The body of a file of one version, in order; OSError if it is replaced meanwhile."""
        first, size, e_tag = self._part(name, 0, None)
        yield first
        starts = iter(range(DOWNLOAD_PART, size, DOWNLOAD_PART))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting: list[Future[tuple[Any, int, str]]] = []

            def ask() -> None:
                for start in starts:
                    waiting.append(pool.submit(self._part, name, start, e_tag))
                    return

            for _ in range(AT_ONCE):
                ask()
            try:
                while waiting:
                    part = waiting.pop(0).result()[0]
                    ask()
                    yield part
                    del part
            finally:
                for later in waiting:
                    later.cancel()

    def _part(self, name: str, start: int, e_tag: str | None) -> tuple[Any, int, str]:
        """(bytes from `start` on, size of the whole, its e_tag)."""
        options: dict[str, Any] = {"range": (start, start + DOWNLOAD_PART)}
        if e_tag is not None:
            options["if_match"] = e_tag
        try:
            body, meta = self._body(name, options, "bulk")
        except _Replaced as error:
            raise OSError(errno.ESTALE, f"{name!r} was replaced while it was read") from error
        expected = min(DOWNLOAD_PART, meta["size"] - start)
        if len(body) != max(0, expected):
            raise OSError(errno.EIO, f"{name!r}: {len(body)} bytes came instead of {expected}")
        return body, meta["size"], meta["e_tag"]

    # Lost uploads

    def unfinished(self) -> list[Entry] | None:
        """Multipart uploads that were begun and not ended; None where they cannot be listed."""
        check_process()
        return unfinished_uploads(self.bucket)

    def discard(self, entry: Entry) -> None:
        """Abort one of `unfinished`; its parts are deleted."""
        check_process()
        abort_upload(self.bucket, entry)

    # Beneath

    def _client(self, kind: str) -> Any:
        check_process()
        if kind not in self._clients:
            try:
                self._clients[kind] = self.connect(self.bucket, self.patience, kind)
            except FAULTS as error:
                raise os_error(error, self.bucket, "") from error
        return self._clients[kind]

    @contextmanager
    def _asked(self, name: str, kind: str = "small", *, translating: bool = True) -> Iterator[Any]:
        """A client, whose errors become OSErrors."""
        client = self._client(kind)
        try:
            yield client
        except FAULTS as error:
            if not translating or isinstance(error, StoreError):
                raise
            raise os_error(error, self.bucket, name) from error

    def _get(self, name: str, options: dict[str, Any]) -> Content:
        body, meta = self._body(name, options, "small")
        return Content(body=bytes(body), tag=self._tag(name, meta))

    def _body(self, name: str, options: dict[str, Any], kind: str) -> tuple[Any, Any]:
        """(body, what is said of it). A body that breaks off is asked for again."""
        key = self._key(name)
        for turn in range(_BODY_TRIES):
            client = self._client(kind)
            try:
                result = obstore.get(client, key, options=options or None)  # type: ignore[arg-type]
                return result.bytes(), result.meta
            except FAULTS as error:
                # A condition that nobody set is no answer to one.
                if isinstance(error, exceptions.NotModifiedError) and "if_none_match" in options:
                    raise _Unchanged from error
                if isinstance(error, exceptions.PreconditionError) and "if_match" in options:
                    raise _Replaced from error
                if isinstance(error, FileNotFoundError):
                    raise os_error(error, self.bucket, name) from error
                said = said_by(error)
                if said.is_past_end and options.get("range", (1,))[0] == 0:
                    # Nothing of an empty file can be asked for.
                    options = {}
                elif said.status is not None or turn == _BODY_TRIES - 1:
                    raise os_error(error, self.bucket, name) from error
            time.sleep(0.1 * 2**turn)
        raise AssertionError("unreachable")

    def _key(self, name: str) -> str:
        """Key of a file, or of a folder; "" is the root. StoreError as of `checked`."""
        if not name:
            return self.bucket.root
        try:
            checked(name).encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"{name!r} is no name in an object store: it is no UTF-8") from error
        return f"{self.bucket.root}/{name}" if self.bucket.root else name

    def _name(self, key: str) -> str:
        if key == self.bucket.root:
            return ""
        return key.removeprefix(f"{self.bucket.root}/") if self.bucket.root else key

    def _entry(self, name: str, meta: Any) -> Entry:
        return Entry(
            name=name, size=meta["size"], at=meta["last_modified"], tag=self._tag(name, meta)
        )

    def _tag(self, name: str, meta: Any) -> str:
        """The tag in an answer: the e_tag, which Azure quotes at one time and not at another."""
        e_tag, version = meta["e_tag"], meta.get("version")
        if e_tag is None:
            raise StoreError(f"{self.bucket} gives no e_tag: a version cannot be told by it")
        tag = str(e_tag).strip('"')
        if self.bucket.scheme == "gs" and version is not None:
            self._versions[name] = (tag, str(version))
            while len(self._versions) > _MOST_VERSIONS:
                self._versions.popitem(last=False)
        return tag

    def _version(self, name: str, tag: str) -> dict[str, str] | None:
        """The condition that a version is still there; None if it is not.

        GCS wants its generation: if it was not in an answer of late, one look.
        """
        if self.bucket.scheme != "gs":
            return {"e_tag": _quoted(tag)}
        if self._versions.get(name, ("",))[0] != tag:
            found = self.look(name)
            if found is None or found.tag != tag:
                return None
        known = self._versions.get(name)
        if known is None or known[0] != tag:
            raise OSError(errno.EIO, f"{self.bucket} names no generation of {name!r}")
        return {"e_tag": _quoted(tag), "version": known[1]}


class _Unchanged(Exception):
    """The file still has the tag that was asked about."""


class _Replaced(Exception):
    """The file has another tag than the one that was asked for."""


def _quoted(tag: str) -> str:
    return tag if tag.startswith("W/") else f'"{tag}"'


def _remade(bucket: Bucket, patience: Patience, connect: Any) -> ObjectFiles:
    return ObjectFiles(bucket=bucket, patience=patience, connect=connect)
