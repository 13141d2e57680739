"""Files of the store on this machine, verified: each node downloads and hashes each of them once.

A store that is a folder is read in place. Files of any other lie in a folder that all processes of
this user on this machine share, `SCALING_CACHE` or one below the temporary folder, under the name
of their content:

    SHA256          the file, there only once it was verified
    SHA256.part     a download; after a killed process the next one starts it anew
    SHA256.lock     held by the process that downloads, checks or deletes; holds the file's state

All locks are the system's (flock), so that a process that dies holds none. A process that uses a
file holds a shared lock on the file itself. A file that nobody uses stays for later steps, up to a
share of the disk (`_make_room`).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scaling.store.files import StoreError, checked
from scaling.store.layout_one import STEPS
from scaling.store.paths import ATTEMPTS, RESUME, is_sha256, step_in
from scaling.store.place import sha256
from scaling.store.store import Store

INDEX = "model.safetensors.index.json"

LOG = logging.getLogger(__name__)

# Files that no process uses may take this share of the disk that would be free without them. The
# rest is for the weights and resume points that a step makes before it uploads them.
IDLE_SHARE = 1 / 3

_OF_STEPS = tuple(f"{folder}/" for folder in (ATTEMPTS, RESUME, STEPS))
# In a temporary folder: locked as long as its process lives.
_ALIVE = ".alive"

# Differs after every start of the machine, so that files are hashed again then: what was not yet on
# disk when the machine lost power may be damaged.
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Cache:
    """Where a process has its files on this machine."""

    own: Path
    """Gone with the process: what it makes, and links to what it fetched."""
    shared: Path
    """Of all processes of this user on this machine."""
    held: dict[str, dict[str, BinaryIO]] = field(default_factory=dict)
    """Folder of the store → its fetched files, open and locked against being deleted."""


@contextmanager
def open_cache() -> Iterator[Cache]:
    """A cache for the time of a session.

    The shared folder is made when something is downloaded.
    """
    shared = (
        os.environ.get("SCALING_CACHE")
        or Path(tempfile.gettempdir()) / f"scaling-cache-{os.getuid()}"
    )
    with own_folder() as own:
        cache = Cache(own, Path(shared))
        try:
            yield cache
        finally:
            _let_go(cache, list(cache.held))


@contextmanager
def own_folder(longest: int | None = None) -> Iterator[Path]:
    """A temporary folder of this process and this user alone, gone with it.

    One that is killed cannot delete its own: whoever comes next on this machine does. With
    `longest` it lies in /tmp where its path would have more bytes otherwise.
    """
    prefix = f"scaling-own-{os.getuid()}-"
    place = Path(tempfile.gettempdir())
    if longest is not None and len(os.fsencode(place / f"{prefix}12345678")) > longest:
        place = Path("/tmp")
    for left in place.glob(f"{prefix}*"):
        _free_left(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        with (folder / _ALIVE).open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield folder
    finally:
        _delete(folder)


def _free_left(folder: Path) -> None:
    """Delete a temporary folder whose process is dead: nobody holds its lock."""
    found = folder.lstat() if folder.is_dir() and not folder.is_symlink() else None
    if found is None or found.st_uid != os.getuid():
        return
    # Its process may not have come to the lock yet.
    with suppress(FileNotFoundError, BlockingIOError), (folder / _ALIVE).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _delete(folder)


def _delete(folder: Path) -> None:
    """Delete a temporary folder, its lock last: what others still write there is found later."""
    for inside in folder.iterdir():
        if inside.name != _ALIVE:
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside, ignore_errors=True)
            else:
                inside.unlink(missing_ok=True)
    if [inside.name for inside in folder.iterdir()] in ([], [_ALIVE]):
        shutil.rmtree(folder, ignore_errors=True)


def fetch(store: Store, name: str, files: Mapping[str, str], cache: Cache) -> Path:
    """A local folder with these files, verified; the store's own folder if the store is local.

    In a local store, weights of which a verified index has every hash are not hashed here: whoever
    loads them checks each tensor.

    Args:
        store: Where the files are.
        name: Their folder in the store.
        files: File → SHA-256. StoreError names the first one that is missing, differs, or has a
            name that leads elsewhere.
        cache: Where downloads go. The files stay there until `forget_steps` or the cache's end.
    """
    for file, digest in files.items():
        checked(f"{name}/{file}")
        if not is_sha256(digest):
            raise StoreError(f"{store.uri}/{name}/{file}: {digest!r} is no SHA-256")
    local = store.local_path(name)
    if local is not None:
        return _in_place(store, name, files, local)
    folder = cache.own / "store" / name
    _make_private(cache.shared)
    # First the files that no other process is downloading: the processes of a node share the work.
    # Then the rest.
    late = {
        file: digest
        for file, digest in files.items()
        if not _take(store, name, file, digest, cache, wait=False)
    }
    for file, digest in late.items():
        _take(store, name, file, digest, cache, wait=True)
    return folder


def keep(cache: Cache, path: Path, digest: str) -> None:
    """Move a file to where `fetch` looks: who starts from it here need not download it.

    Args:
        cache: Whose shared folder it comes to lie in.
        path: A file that was hashed when it was sent to the store; gone afterwards.
        digest: Its SHA-256.
    """
    _make_private(cache.shared)
    target = cache.shared / digest
    with _locked(target, wait=True):
        if not _is_verified(target):
            shutil.move(path, target)
            _lock_of(target).write_text(_looks(target))


def damaged_files(store: Store, name: str, files: Mapping[str, str]) -> list[str]:
    """Which of these files of the store (name → SHA-256) are missing or hold something else.

    Reads all of them, from the store itself and not from this machine.
    """
    damaged = []
    for file, digest in files.items():
        try:
            found = store.digest(f"{name}/{file}")
        except FileNotFoundError:
            found = "missing"
        if found != digest:
            damaged.append(file)
    return damaged


def forget_steps(cache: Cache, needed: Collection[str | None]) -> None:
    """Let go of fetched files of steps that are not needed; other processes may still use them."""
    _let_go(
        cache,
        [name for name in cache.held if name.startswith(_OF_STEPS) and step_in(name) not in needed],
    )


def _let_go(cache: Cache, names: Collection[str]) -> None:
    for name in names:
        for stream in cache.held.pop(name).values():
            stream.close()
        shutil.rmtree(cache.own / "store" / name, ignore_errors=True)
    if names:
        _make_room(cache.shared, 0)


def _in_place(store: Store, name: str, files: Mapping[str, str], folder: Path) -> Path:
    # The index first: only one that is verified says which weights need no hashing here.
    small = [file for file in files if not file.endswith(".safetensors")]
    for file in small:
        _check(store, name, file, files[file], folder / file)
    safe = hashed_files(folder) if INDEX in files else frozenset()
    for file in files.keys() - set(small):
        if file not in safe or not (folder / file).is_file():
            _check(store, name, file, files[file], folder / file)
    return folder


def _check(store: Store, name: str, file: str, expected: str, path: Path) -> None:
    # Asking the store tells a file that is missing from a store that is.
    actual = sha256(path) if store.exists(f"{name}/{file}") else "missing"
    if actual != expected:
        raise StoreError(f"{store.uri}/{name}/{file}: SHA-256 is {actual}, recorded was {expected}")


def _take(store: Store, name: str, file: str, digest: str, cache: Cache, *, wait: bool) -> bool:
    """Link and hold a file, downloaded if needed.

    False if `wait` is off and another process holds the file's lock.
    """
    target = cache.shared / digest
    with _locked(target, wait=wait) as ours:
        if not ours:
            return False
        if not _is_verified(target):
            _download(store, name, file, digest, target)
        stream = target.open("rb")
        fcntl.flock(stream, fcntl.LOCK_SH)
        os.utime(_lock_of(target))
    before = cache.held.setdefault(name, {}).pop(file, None)
    if before is not None:
        before.close()
    cache.held[name][file] = stream
    link = cache.own / "store" / name / file
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return True


def _download(store: Store, name: str, file: str, digest: str, target: Path) -> None:
    """Bring a file here, hashed on its way.

    A process that uses a damaged older one keeps that until it closes it.
    """
    part = target.with_suffix(".part")
    try:
        there = store.look(f"{name}/{file}")
        _make_room(target.parent, 0 if there is None else there.size)
        found = store.download(f"{name}/{file}", part)
        if found != digest:
            raise StoreError(
                f"{store.uri}/{name}/{file}: SHA-256 is {found}, recorded was {digest}"
            )
        os.replace(part, target)
    except FileNotFoundError as error:
        raise StoreError(
            f"{store.uri}/{name}/{file}: SHA-256 is missing, recorded was {digest}"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    _lock_of(target).write_text(_looks(target))


def _is_verified(target: Path) -> bool:
    """Whether the file is there as it was verified; hashed again if it looks changed."""
    if not target.is_file():
        return False
    if _lock_of(target).read_text() == _looks(target):
        return True
    if sha256(target) != target.name:
        LOG.warning("%s was changed after it was verified; it is downloaded again", target)
        return False
    _lock_of(target).write_text(_looks(target))
    return True


def _looks(target: Path) -> str:
    """State of a file that changes when it is written to: size, times, start of the machine."""
    state = target.stat()
    boot = _BOOT.read_text().strip() if _BOOT.is_file() else ""
    return f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {boot}"


def _make_room(shared: Path, incoming: int) -> None:
    """Delete files that no process uses until the rest takes no more than its share of the disk.

    The longest unused goes first. The share is of what would be free without these files, after
    `incoming` bytes more.
    """
    if not shared.is_dir():
        return
    idle = []
    for lock in shared.glob("*.lock"):
        target = lock.with_suffix("")
        with _locked(target, wait=False) as ours:
            if ours:
                target.with_suffix(".part").unlink(missing_ok=True)
                if _is_idle(target):
                    idle.append((lock.stat().st_mtime, target.stat().st_size, target))
    total = sum(size for _, size, _ in idle)
    free = shutil.disk_usage(shared).free - incoming
    for _, size, target in sorted(idle):
        if total <= IDLE_SHARE * (free + total):
            return
        with _locked(target, wait=False) as ours:
            # Its lock stays, empty: deleting it would let two processes hold two files of one name.
            if ours and _is_idle(target):
                target.unlink()
                free += size
        total -= size


def _is_idle(target: Path) -> bool:
    """Whether a file is there and no process uses it."""
    try:
        with target.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True


def _lock_of(target: Path) -> Path:
    return target.with_suffix(".lock")


@contextmanager
def _locked(target: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a file's lock until the end, or until this process dies.

    Yields False if `wait` is off and another process holds it.
    """
    with _lock_of(target).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _make_private(folder: Path) -> None:
    """Make a folder of this user; StoreError if others can write to it.

    They could change what was verified.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise StoreError(
            f"{folder} can be written by others; SCALING_CACHE must name a folder of this user"
            " alone"
        )


def hashed_files(folder: Path) -> frozenset[str]:
    """Names of the files of which the folder's index holds a hash of every byte.

    None of a folder without an index. Indexes of other programs have no hashes, and those of older
    versions none of the headers.
    """
    path = folder / INDEX
    if not path.is_file():
        return frozenset()
    raw = json.loads(path.read_text())
    metadata = raw.get("metadata", {})
    files = set(metadata.get("headers", {}))
    files -= {
        file for name, file in raw["weight_map"].items() if name not in metadata.get("sha256", {})
    }
    return frozenset(files)
