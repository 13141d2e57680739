"""Where a study lives: a folder, an S3 or GCS prefix. The store is the truth; nothing else has to survive.

study.json  lock.json                  whose store this is; what staging resolved
models/NAME/  data/TASK/  tokens/      staged weights, normalised rows, token features
steps/ID/record.json                   written last: the step is done if and only if it exists
steps/ID/attempts/OWNER/               weights and outcomes of one try; the record names the one that counts
steps/ID/leases/OWNER.json             who works on it, with heartbeat and progress (scaling.lease)
steps/ID/failures/OWNER.json           why a try ended
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow import fs

from scaling.plan import Lock, Step
from scaling.records import StepRecord

CHUNK = 1 << 22


class StoreError(ValueError):
    """The store cannot be used as asked; the message says which file and what to do."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One listing of all steps: what exists, without a request per step."""

    done: frozenset[str]
    weights: frozenset[str]
    """Steps with a complete weights folder in the attempt that counts, as far as the listing tells."""
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

    @staticmethod
    def open(uri: str | Path) -> Store:
        """The store at a path or `s3://`, `gs://` URI; StoreError if the URI cannot be understood."""
        text = str(uri)
        if "://" not in text:
            path = Path(text).expanduser().absolute()
            return Store(str(path), fs.LocalFileSystem(), str(path))
        try:
            filesystem, root = fs.FileSystem.from_uri(text)
        except (OSError, ValueError) as error:
            raise StoreError(f"store {text!r}: {error}") from error
        return Store(text, filesystem, root.rstrip("/"))

    @property
    def local(self) -> Path | None:
        """The root as a path if the store is a folder of this machine."""
        return Path(self.root) if isinstance(self.filesystem, fs.LocalFileSystem) else None

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    # files

    def exists(self, name: str) -> bool:
        return bool(self.filesystem.get_file_info(self.path(name)).type != fs.FileType.NotFound)

    def read(self, name: str) -> bytes:
        with self.filesystem.open_input_stream(self.path(name)) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes | str) -> None:
        """All or nothing: a reader sees the old file, the new one, or none, never a part."""
        raw = content.encode() if isinstance(content, str) else content
        if self.local is not None:
            target = self.local / name
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
            with os.fdopen(handle, "wb") as stream:
                stream.write(raw)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
            return
        with self.filesystem.open_output_stream(self.path(name)) as stream:
            stream.write(raw)

    def delete(self, name: str) -> None:
        """A file or a whole folder; nothing if it is not there."""
        info = self.filesystem.get_file_info(self.path(name))
        if info.type == fs.FileType.Directory:
            self.filesystem.delete_dir(self.path(name))
        elif info.type != fs.FileType.NotFound:
            self.filesystem.delete_file(self.path(name))

    def listing(self, name: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        """What lies below a folder; [] if it does not exist."""
        return list(
            self.filesystem.get_file_info(fs.FileSelector(self.path(name), allow_not_found=True, recursive=recursive))
        )

    def upload(self, folder: Path, name: str) -> dict[str, str]:
        """Copy a local folder into the store; relative file name → SHA-256."""
        hashes = {}
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            relative = path.relative_to(folder).as_posix()
            hashes[relative] = sha256(path)
            if self.local is not None:
                target = self.local / name / relative
                if target != path:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            else:
                fs.copy_files(str(path), self.path(f"{name}/{relative}"), destination_filesystem=self.filesystem)
        return hashes

    def fetch(self, name: str, files: Mapping[str, str], cache: Path) -> Path:
        """A local folder with these files, hashes verified; the store's own folder if the store is local.

        StoreError names the first file whose SHA-256 is not the recorded one.
        """
        if self.local is not None:
            folder = self.local / name
        else:
            folder = cache / hashlib.sha256(f"{self.uri}/{name}".encode()).hexdigest()[:16]
            for relative in files:
                target = folder / relative
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    fs.copy_files(self.path(f"{name}/{relative}"), str(target), source_filesystem=self.filesystem)
        for relative, expected in files.items():
            found = sha256(folder / relative) if (folder / relative).exists() else "missing"
            if found != expected:
                raise StoreError(f"{self.uri}/{name}/{relative}: SHA-256 is {found}, recorded was {expected}")
        return folder

    # the study

    def check_study(self, name: str) -> None:
        """StoreError if this is another study's store, or cannot be written to."""
        if self.exists("study.json"):
            found = json.loads(self.read("study.json")).get("name")
            if found != name:
                raise StoreError(
                    f"{self.uri} is the store of the study {found!r}, not of {name!r}. Give another --store."
                )
            return
        try:
            self.write("study.json", json.dumps({"name": name}))
        except OSError as error:
            raise StoreError(f"{self.uri} cannot be written to: {error}") from error

    def read_lock(self) -> Lock:
        """What staging resolved; an empty lock before it."""
        if not self.exists("lock.json"):
            return Lock()
        try:
            raw = json.loads(self.read("lock.json"))
            return Lock(models=raw["models"], data=raw["data"], revisions=raw.get("revisions", {}))
        except (json.JSONDecodeError, KeyError) as error:
            raise StoreError(
                f"{self.uri}/lock.json is broken ({error}): restore it, or use a new --store; its steps rest on it"
            ) from error

    def write_lock(self, lock: Lock) -> None:
        content = {"models": lock.models, "data": lock.data, "revisions": lock.revisions}
        self.write("lock.json", json.dumps(content, indent=1, sort_keys=True))

    def read_sizes(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Task → `SPLIT.LANGUAGE` → (sequences, tokens), as staging counted them; empty before it."""
        if not self.exists("sizes.json"):
            return {}
        raw = json.loads(self.read("sizes.json"))
        return {task: {key: (int(a), int(b)) for key, (a, b) in keys.items()} for task, keys in raw.items()}

    # steps

    def scan(self) -> Scan:
        """Everything about all steps that file names tell, in one recursive listing."""
        done: set[str] = set()
        weights: set[str] = set()
        failures: dict[str, int] = {}
        num_bytes = 0
        leases: dict[str, list[str]] = {}
        start = len(self.path("steps")) + 1
        for info in self.listing("steps", recursive=True):
            if info.type != fs.FileType.File:
                continue
            num_bytes += info.size or 0
            step, _, rest = info.path[start:].partition("/")
            folder, _, name = rest.partition("/")
            if rest == "record.json":
                done.add(step)
            elif folder == "attempts" and name.endswith("/weights/manifest.json"):
                weights.add(step)
            elif folder == "leases" and name.endswith(".json") and not name.startswith("."):
                leases.setdefault(step, []).append(name.removesuffix(".json"))
            elif folder == "failures":
                failures[step] = failures.get(step, 0) + 1
        return Scan(
            done=frozenset(done), weights=frozenset(weights), failures=failures, num_bytes=num_bytes,
            leases={step: tuple(owners) for step, owners in leases.items()},
        )  # fmt: skip

    def record(self, step: str) -> StepRecord:
        """The record of a finished step; CorruptRecord with the file's name if it cannot be trusted."""
        name = f"steps/{step}/record.json"
        return StepRecord.from_json(self.read(name).decode(errors="replace"), f"{self.uri}/{name}")

    def records(self, steps: Iterable[str]) -> dict[str, StepRecord]:
        """Records of finished steps, read side by side."""
        steps = list(steps)
        with ThreadPoolExecutor(16) as pool:
            return dict(zip(steps, pool.map(self.record, steps), strict=True))

    def commit(self, record: StepRecord) -> None:
        """Write a record: the last act of a step. A step that is already done keeps its first record."""
        name = f"steps/{record.step}/record.json"
        if not self.exists(name):
            self.write(name, record.to_json())

    def replace(self, record: StepRecord) -> None:
        """Write a training's record, also over an earlier one whose weights were deleted and had to be made again."""
        self.write(f"steps/{record.step}/record.json", record.to_json())

    def fail(self, step: Step, owner: str, reason: Mapping[str, Any]) -> None:
        """Note why a try ended."""
        self.write(f"steps/{step.id}/failures/{owner}.json", json.dumps(dict(reason), indent=1))


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
