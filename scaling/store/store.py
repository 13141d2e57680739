"""Where a study lives: a folder, or a prefix of S3 or GCS. The store is the truth.

study.json  lock.json                whose store this is; what staging resolved
models/NAME/  data/TASK/  tokens/    staged weights, normalised rows, token features
steps/ID/record.json                 written last: the step is done if and only if it exists
steps/ID/attempts/OWNER/             files of one try; the record names the one that counts
steps/ID/leases/OWNER.json           who works on it, with heartbeat and progress (leases.py)
steps/ID/failures/OWNER.json         why a try ended
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import fs
from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from scaling.spec import UserError, first_fault
from scaling.store.paths import STEPS, StepFolder, is_inside, is_plain, lease_owner, split_step
from scaling.store.records import CorruptRecord, StepRecord, digest_of
from scaling.study.identity import Lock

# Seconds between tries to read one file: a connection that breaks, a mount that is away a moment.
_READ_PAUSES = (0.1, 0.5, 2.0)

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
_Counts = (
    tuple[NonNegativeInt, NonNegativeInt] | tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
)
_SIZES: TypeAdapter[dict[str, dict[str, _Counts]]] = TypeAdapter(dict[str, dict[str, _Counts]])
LAYOUT = 1
"""Of what lies where; study.json names it where it is a later one."""
LOCK = "lock.json"
OWNER = "study.json"
PROBE = "probe"
"""Folder of files that ask whether the store can be written to."""
PART = ".part-"
"""Beginning of the name of a file that is being written in a folder: none of a store's own."""


class StoreError(UserError):
    """The store cannot be used as asked; the message says which file and what to do."""


class StoreAway(OSError):
    """The store cannot be reached or written to now; the message says which file.

    Full, read-only, not mounted: it may come back, and nothing in it has to be mended.
    """


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One listing of all steps: what exists, without a request per step."""

    done: frozenset[str]
    weights: frozenset[str]
    """Steps with complete weights in some attempt: all that a listing can tell."""
    collapsed: frozenset[str] = frozenset()
    """Finished trainings that collapsed by the English-dev rule."""
    leases: Mapping[str, tuple[str, ...]]
    """Step → owners of leases, live or not."""
    failures: Mapping[str, int]
    num_bytes: int


@dataclass(frozen=True)
class Store:
    """Files below one root, by `/`-separated relative names. Local paths, S3 and GCS alike."""

    uri: str
    filesystem: fs.FileSystem = field(repr=False, compare=False)
    root: str = field(repr=False, compare=False)
    _seen: list[str] = field(default_factory=list, repr=False, compare=False)
    """Its study.json, once it was there: without it the store is gone from then on, and not new."""

    @staticmethod
    def open(uri: str | Path) -> Store:
        """The store at a path, or at a URI that begins with `s3://` or `gs://`.

        Asks an object store for its bucket: a wrong name, missing credentials or a dead endpoint is
        a StoreError here and not in the middle of a study. Throttling, 5xx answers and dropped
        connections are retried by the storage library itself, for seconds.
        """
        text = str(uri)
        if "://" not in text:
            path = Path(text).expanduser().absolute()
            store = Store(str(path), fs.LocalFileSystem(), str(path))
            if (path / OWNER).exists():
                store._seen.append(OWNER)
            return store
        check_uri(text)
        scheme = text.split("://", 1)[0]
        try:
            filesystem, root = fs.FileSystem.from_uri(_one_request_per_file(text))
            bucket = root.split("/", 1)[0]
            missing = (
                scheme in ("s3", "gs", "gcs")
                and filesystem.get_file_info(bucket).type == fs.FileType.NotFound
            )
        except (OSError, ValueError) as error:
            raise StoreError(f"store {text!r} cannot be used: {error}") from error
        if missing:
            raise StoreError(
                f"store {text!r}: there is no bucket {bucket!r}. Make it first, or correct the URI."
            )
        return Store(text, filesystem, root.rstrip("/"))

    @property
    def local(self) -> Path | None:
        """The root as a path if the store is a folder of this machine."""
        return Path(self.root) if isinstance(self.filesystem, fs.LocalFileSystem) else None

    def path(self, name: str) -> str:
        """Where the file system has a file or folder of the store, which may not exist.

        StoreError for a name that could lead out of the store: every other method comes here first.
        """
        path = f"{self.root}/{safe_name(name)}"
        if self.local is not None:
            # A link below a folder would make another one part of the store.
            part = self.root
            for one in name.split("/"):
                part = f"{part}/{one}"
                if os.path.islink(part):
                    raise StoreError(f"{part} is a link; a store has none. Put its files there")
        return path

    def local_path(self, name: str) -> Path | None:
        """The same as a path if the store is a folder of this machine. StoreError as of `path`."""
        path = self.path(name)
        return None if self.local is None else Path(path)

    def name_of(self, info: fs.FileInfo) -> str:
        """The name of what `listing` found."""
        return str(info.path.removeprefix(f"{self.root}/"))

    # files

    def exists(self, name: str) -> bool:
        """Whether there is a file or folder of this name. StoreAway if nobody can say."""
        with self._named(name):
            info = self.filesystem.get_file_info(self.path(name))
        if info.type == fs.FileType.NotFound:
            self._check_there()
        return bool(info.type != fs.FileType.NotFound)

    def written_at(self, name: str) -> datetime | None:
        """When a file was written, by the store's own clock; None where there is none."""
        info = self.filesystem.get_file_info(self.path(name))
        return info.mtime if info.type == fs.FileType.File else None

    def read(self, name: str) -> bytes:
        """The whole file; FileNotFoundError where there is none.

        A storage library asks again for a request that failed, and not for a body that broke off in
        the middle: that is done here.
        """
        path = self.path(name)
        for pause in (*_READ_PAUSES, None):
            try:
                with self.filesystem.open_input_stream(path) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                self._check_there()
                raise
            except OSError as error:
                if pause is None:
                    raise self._away(name, error) from error
                time.sleep(pause)
        raise AssertionError("unreachable")

    def read_json(self, name: str) -> Any:
        """What a JSON file of the store says.

        StoreError with its name if it is no JSON, or not what `write_json` wrote. Files of older
        versions have no digest; of them only the form is checked.
        """
        try:
            raw = json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise self.broken(name, str(error)) from error
        digest = raw.pop(_DIGEST, None) if isinstance(raw, dict) else None
        if digest is not None and digest != digest_of(raw):
            raise self.broken(name, "its digest is another")
        return raw

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object with a digest over the whole of it."""
        whole = {**content, _DIGEST: digest_of(content)}
        self.write(name, json.dumps(whole, indent=1, sort_keys=True))

    def broken(self, name: str, what: str) -> StoreError:
        """The error for a file of the store that holds something else than it should."""
        mend = _MENDS.get(name) or _MENDS.get(name.partition("/")[0], _MEND)
        return StoreError(f"{self.uri}/{name} is broken ({what}): {mend}")

    def write(self, name: str, content: bytes | str) -> None:
        """All or nothing: a reader sees the old file, the new one, or none, never a part."""
        raw = content.encode() if isinstance(content, str) else content
        target = self.local_path(name)
        if target is not None:
            with self._named(name):
                self._make_folder(target.parent)
                with _temporary(target, raw) as temporary:
                    os.replace(temporary, target)
            return
        with self._named(name), self.filesystem.open_output_stream(self.path(name)) as stream:
            stream.write(raw)

    def create(self, name: str, content: bytes | str) -> bool:
        """Write a file that does not exist yet; whether it is now ours.

        Exact on a local or network file system (a hard link is made or refused). Object stores
        offer no such operation through pyarrow 26: there it is a look, a write and a second look,
        and whoever finds another's content has lost.
        """
        raw = content.encode() if isinstance(content, str) else content
        target = self.local_path(name)
        if target is None:
            if self.exists(name):
                return False
            self.write(name, raw)
            return self.read(name) == raw
        with self._named(name):
            self._make_folder(target.parent)
            with _temporary(target, raw) as temporary:
                try:
                    os.link(temporary, target)
                except FileExistsError:
                    return False
        return True

    def delete(self, name: str) -> None:
        """A file or a whole folder; nothing if it is not there."""
        with self._named(name):
            info = self.filesystem.get_file_info(self.path(name))
            if info.type == fs.FileType.Directory:
                self.filesystem.delete_dir(self.path(name))
            elif info.type != fs.FileType.NotFound:
                self.filesystem.delete_file(self.path(name))

    def listing(self, name: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        """What lies below a folder; [] if it does not exist."""
        path = self.path(name)
        with self._named(name):
            if self.local is None:
                selector = fs.FileSelector(path, allow_not_found=True, recursive=recursive)
                return list(self.filesystem.get_file_info(selector))
            found = list(_below(path, recursive=recursive))
        if not found:
            self._check_there()
        return found

    def upload(self, folder: Path, name: str, *, move: bool = False) -> dict[str, str]:
        """Copy a local folder into the store; relative file name → SHA-256.

        With `move` the local folder is gone afterwards. StoreError, before anything is copied, for
        a name that the store refuses.
        """
        self.path(name)
        files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(item for item in folder.rglob("*") if item.is_file())
        }
        targets = {relative: self.path(f"{name}/{relative}") for relative in files}
        hashes = {}
        for relative, path in files.items():
            hashes[relative] = sha256(path)
            target = targets[relative]
            with self._named(f"{name}/{relative}"):
                if self.local is None:
                    fs.copy_files(str(path), target, destination_filesystem=self.filesystem)
                elif Path(target) != path:
                    self._make_folder(Path(target).parent)
                    shutil.move(path, target) if move else shutil.copyfile(path, target)
        if move:
            shutil.rmtree(folder, ignore_errors=True)
        return hashes

    def replace_folder(self, folder: Path, name: str) -> dict[str, str]:
        """Have a local folder, which then is gone, take the place of one of the store.

        File → SHA-256. In a local store that is one move: nobody sees half of both.
        """
        target = self.local_path(name)
        if target is None:
            self.delete(name)
            return self.upload(folder, name, move=True)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        hashes = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
        for file in hashes:
            self.path(f"{name}/{file}")
        self.delete(name)
        with self._named(name):
            self._make_folder(target.parent)
            os.replace(folder, target)
        return hashes

    def _make_folder(self, folder: Path) -> None:
        """Make a folder of a local store, and the store's own only where none was before."""
        if not folder.is_dir():
            self._check_there()
            folder.mkdir(parents=True, exist_ok=True)

    def _check_there(self) -> None:
        """StoreAway if a local store that was there is not.

        What is missing would be taken for what was never made, and a second store would grow in the
        place of one that is not mounted.
        """
        if self._seen and self.local is not None and not (self.local / OWNER).exists():
            raise StoreAway(errno.ENOENT, f"{self.uri} is gone (is its disk mounted?)")

    def _away(self, name: str, error: OSError) -> StoreAway:
        said = error.strerror or str(error)
        return StoreAway(error.errno or errno.EIO, f"{self.uri}/{name}: {said}")

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """StoreAway with the file's name for what the system says of it."""
        try:
            yield
        except (FileNotFoundError, StoreAway):
            raise
        except OSError as error:
            raise self._away(name, error) from error

    # the study

    def check_study(self, name: str) -> None:
        """StoreError if this is another study's store, or cannot be written to."""
        try:
            # Created as records are, so that a mounted bucket without hard links is refused now and
            # not after the first step.
            is_new = not self.exists(OWNER) and self.create(OWNER, json.dumps({"name": name}))
            raw = {"name": name} if is_new else self.read_json(OWNER)
            self._seen[:] = [OWNER]
        except OSError as error:
            raise StoreError(f"{self.uri} cannot be read and written: {error}") from error
        owner = raw.get("name") if isinstance(raw, dict) else None
        if not isinstance(owner, str):
            raise self.broken(OWNER, "no study's name")
        if raw.get("layout", LAYOUT) != LAYOUT:
            raise StoreError(
                f"{self.uri} has the layout {raw['layout']!r}, this version reads {LAYOUT}: take"
                " the version that made it, or another --store"
            )
        if owner != name:
            raise StoreError(
                f"{self.uri} is the store of the study {owner!r}, not of {name!r}. Give another"
                " --store."
            )

    def check_writable(self) -> None:
        """StoreError unless a file can be written and deleted: before anything is paid for."""
        name = f"{PROBE}/{uuid.uuid4().hex[:12]}"
        try:
            self.write(name, "")
            self.delete(name)
        except OSError as error:
            raise StoreError(f"{self.uri} cannot be written to: {error}") from error

    def read_lock(self) -> Lock:
        """What staging resolved; an empty lock before it.

        StoreError for one that is no lock, or not the one that was written. Of stores from before
        locks had a digest only the form is checked.
        """
        if not self.exists(LOCK):
            return Lock()
        try:
            raw = self.read_json(LOCK)
            lock = Lock(models=raw["models"], data=raw["data"], revisions=raw.get("revisions", {}))
            for entries in (*lock.models.values(), *lock.data.values(), lock.revisions):
                if not all(isinstance(value, str) for value in entries.values()):
                    raise TypeError("an entry that is no text")
            for entries in lock.models.values():
                entries["weights"], entries["tokenizer"]
            return lock
        except (KeyError, TypeError, AttributeError) as error:
            raise self.broken(LOCK, repr(error)) from error

    def write_lock(self, lock: Lock) -> None:
        """Write what staging resolved, with a digest over the whole of it."""
        self.write_json(
            LOCK, {"models": lock.models, "data": lock.data, "revisions": lock.revisions}
        )

    def read_sizes(self) -> dict[str, dict[str, tuple[int, int, int]]]:
        """Task → `SPLIT.LANGUAGE` → (sequences, tokens, different ones), by staging.

        Empty before it. The last is 0 in stores of versions that did not count it.
        """
        try:
            raw = json.dumps(self.read_json("sizes.json"))
        except FileNotFoundError:
            return {}
        try:
            counted = _SIZES.validate_json(raw, strict=True)
        except ValidationError as error:
            raise self.broken("sizes.json", first_fault(error)) from error
        return {
            task: {
                key: (sequences, tokens, *(different or (0,)))
                for key, (sequences, tokens, *different) in keys.items()
            }
            for task, keys in counted.items()
        }

    # steps

    def scan(self) -> Scan:
        """Everything about all steps that file names tell, in one recursive listing."""
        done: set[str] = set()
        weights: set[str] = set()
        collapsed: set[str] = set()
        failures: dict[str, int] = {}
        num_bytes = 0
        leases: dict[str, list[str]] = {}
        for info in self.listing(STEPS, recursive=True):
            name = self.name_of(info)
            inside = split_step(name)
            if info.type != fs.FileType.File or inside is None:
                continue
            num_bytes += info.size or 0
            step, below = inside
            folder, owner = StepFolder(step), lease_owner(below)
            if name == folder.record:
                done.add(step)
            elif name == folder.collapsed:
                collapsed.add(step)
            elif owner is not None:
                leases.setdefault(step, []).append(owner)
            elif name.startswith(f"{folder.failures}/"):
                failures[step] = failures.get(step, 0) + 1
            elif name.startswith(f"{folder.attempts}/"):
                attempt = below.split("/")[1]
                if name == folder.weights_manifest(attempt):
                    weights.add(step)
        return Scan(
            done=frozenset(done),
            weights=frozenset(weights),
            failures=failures,
            num_bytes=num_bytes,
            collapsed=frozenset(collapsed & done),
            leases={step: tuple(owners) for step, owners in leases.items()},
        )

    def bytes_beside_steps(self) -> int:
        """Bytes of models, data, logs and all else that `scan` does not count."""
        if self.local is None:
            selector = fs.FileSelector(self.root, allow_not_found=True, recursive=True)
            infos = self.filesystem.get_file_info(selector)
            return sum(
                info.size or 0
                for info in infos
                if info.type == fs.FileType.File and not self.name_of(info).startswith(f"{STEPS}/")
            )
        found = 0
        for folder, below, files in os.walk(self.root):
            if folder == self.root and STEPS in below:
                below.remove(STEPS)
            for file in files:
                # Logs and probes come and go.
                with suppress(FileNotFoundError):
                    found += os.lstat(f"{folder}/{file}").st_size
        return found

    def record(self, step: str) -> StepRecord:
        """The record of a finished step; CorruptRecord names the file if it cannot be trusted."""
        name = StepFolder(step).record
        place = f"{self.uri}/{name}"
        record = StepRecord.from_json(self.read(name).decode(errors="replace"), place)
        if record.step != step:
            raise CorruptRecord(
                f"{place} is the record of {record.step}. Delete it to run the step again."
            )
        return record

    def is_done(self, step: str) -> bool:
        """Whether a step has a record."""
        return self.exists(StepFolder(step).record)

    def counting_attempt(self, step: str) -> str | None:
        """The attempt whose files count; None of a step that is not done."""
        return self.record(step).provenance.attempt if self.is_done(step) else None

    def has_weights(self, record: StepRecord) -> bool:
        """Whether the weights that a record speaks of are there, whole."""
        return self.exists(StepFolder(record.step).weights_manifest(record.provenance.attempt))

    def delete_weights(self, record: StepRecord) -> None:
        """Delete the weights of a finished training; its record stays."""
        folder, attempt = StepFolder(record.step), record.provenance.attempt
        # First what says that they are whole, so that a deletion cut short leaves no half of them.
        self.delete(folder.weights_manifest(attempt))
        self.delete(folder.weights(attempt))

    def records(self, steps: Iterable[str]) -> dict[str, StepRecord]:
        """Records of finished steps, read side by side."""
        steps = list(steps)
        with ThreadPoolExecutor(16) as pool:
            return dict(zip(steps, pool.map(self.record, steps), strict=True))

    def read_file(self, record: StepRecord, file: str) -> bytes:
        """A small file of the attempt that counts, such as the outcomes of a scoring.

        StoreError if it is not what the record says.
        """
        name = f"{StepFolder(record.step).attempt(record.provenance.attempt)}/{file}"
        try:
            content = self.read(name)
        except FileNotFoundError:
            content = None
        found = "missing" if content is None else hashlib.sha256(content).hexdigest()
        if content is None or found != record.files.get(file):
            raise StoreError(
                f"{self.uri}/{name}: SHA-256 is {found}, recorded was {record.files.get(file)}."
                f" Delete {StepFolder(record.step).record} to run the step again."
            )
        return content

    def commit(self, record: StepRecord, replacing: str | None = None) -> bool:
        """Write a record: the last act of a step; whether it is the one that counts from now on.

        A step that is already done keeps its record. Only the record of the attempt `replacing`,
        whose weights were deleted and had to be made again, may be written over.
        """
        name = StepFolder(plain_name(record.step)).record
        plain_name(record.provenance.attempt)
        if replacing is None:
            return self.create(name, record.to_json())
        before = self.record(record.step)
        if before.provenance.attempt != replacing:
            return False
        self.write(StepFolder(record.step).history(replacing), before.to_json())
        provenance = replace(record.provenance, replaces=replacing)
        self.write(name, replace(record, provenance=provenance).to_json())
        return self.record(record.step).provenance.attempt == record.provenance.attempt

    def mark_collapse(self, record: StepRecord) -> None:
        """Let a listing tell whether a training collapsed, before its record is there."""
        name = StepFolder(record.step).collapsed
        if record.training is not None and record.training.collapsed:
            self.write(name, json.dumps({"attempt": record.provenance.attempt}))
        elif record.training is not None:
            self.delete(name)


def _below(folder: str, *, recursive: bool) -> Iterator[fs.FileInfo]:
    """What lies in a folder of this machine; StoreError for a link, which pyarrow would follow."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_symlink():
            raise StoreError(f"{entry.path} is a link; a store has none. Put its files there")
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            # Deleted since.
            continue
        at = datetime.fromtimestamp(stat.st_mtime, UTC)
        if entry.is_dir(follow_symlinks=False):
            yield fs.FileInfo(entry.path, fs.FileType.Directory, mtime=at)
            if recursive:
                yield from _below(entry.path, recursive=True)
        else:
            yield fs.FileInfo(entry.path, fs.FileType.File, mtime=at, size=stat.st_size)


@contextmanager
def _temporary(target: Path, raw: bytes) -> Iterator[str]:
    """A file beside the target with this content on disk, gone afterwards whatever happens."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=PART)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        Path(temporary).unlink(missing_ok=True)


_QUERY = {
    "s3": ("region", "scheme", "endpoint_override", "tls_ca_file_path", "allow_delayed_open"),
    "gs": ("scheme", "endpoint_override", "project_id", "retry_limit_seconds"),
}


def check_uri(uri: str) -> None:
    """StoreError for the URI of a store that may hold a secret, which the error does not repeat.

    URIs are printed, logged and handed to jobs. Credentials come from the environment.
    """
    scheme, _, rest = uri.partition("://")
    if "@" in rest or "%40" in rest:
        raise StoreError(
            f"a store's URI ({scheme}://…) may hold no secret, and what stands before an @ is one:"
            " put the credentials into the environment"
        )
    valid = _QUERY.get("gs" if scheme == "gcs" else scheme, ())
    for part in filter(None, rest.partition("?")[2].split("&")):
        name, equals, _ = part.partition("=")
        if name not in valid or not equals:
            # What is no name may be the secret.
            shown = f"{name!r}" if equals and re.fullmatch(r"[a-z_]{1,40}", name) else "a part"
            raise StoreError(
                f"a store's URI ({scheme}://…) may hold no secret, and {shown} of its query is no"
                f" option of such stores; valid: {', '.join(valid) or 'none'}. Put credentials into"
                " the environment"
            )


def _one_request_per_file(uri: str) -> str:
    """The URI with pyarrow told to send a small file as one request; by itself it sends three."""
    if not uri.startswith("s3://") or "allow_delayed_open" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"


def safe_name(name: str) -> str:
    """`name` if it names something below the folder that it is joined to; StoreError otherwise."""
    if not is_inside(name):
        raise StoreError(
            f"{name!r} is no name of a file in a store: its parts, divided by /, may not be empty,"
            " '.' or '..', nor hold a backslash or a control character"
        )
    return name


def plain_name(name: str) -> str:
    """`name` if a step or an owner may be called so; StoreError otherwise."""
    if not is_plain(safe_name(name)):
        raise StoreError(
            f"{name!r} is no name of a step or of who works on it: letters, digits and _.+- alone,"
            " beginning with a letter, a digit or _"
        )
    return name


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pause_after(took: float, least: float) -> float:
    """Seconds until a store is looked at again, after a look that took so many.

    At most a twentieth of the time goes into looking: a listing of a large store takes a while.
    """
    return max(least, 20 * took)
