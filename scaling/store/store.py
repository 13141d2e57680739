"""Where a study lives: a folder, or a prefix of S3 or GCS. The store is the truth.

study.json  lock.json                whose store this is; what staging resolved
models/NAME/  data/TASK/  tokens/    staged weights, normalised rows, token features
steps/ID/record.json                 written last: the step is done if and only if it exists
steps/ID/attempts/OWNER/             files of one try; the record names the one that counts
leases/ID.json                       who works on it, with heartbeat and progress (leases.py)
steps/ID/failures/OWNER.json         why a try ended
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from scaling.store.files import Entry, StoreError
from scaling.store.local_files import LocalFiles
from scaling.store.paths import LEASES, STEPS, StepFolder, split_step, step_of_lease
from scaling.store.place import Place, plain_name
from scaling.store.records import CorruptRecord, StepRecord
from scaling.study.identity import Lock

LOCK = "lock.json"
OWNER = "study.json"


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One listing of all steps: what exists, without a request per step."""

    done: frozenset[str]
    weights: frozenset[str]
    """Steps with complete weights in some attempt: all that a listing can tell."""
    collapsed: frozenset[str] = frozenset()
    """Finished trainings that collapsed by the English-dev rule."""
    leases: Mapping[str, Entry]
    """Step → its lease, live or not."""
    failures: Mapping[str, int]
    num_bytes: int


@dataclass(frozen=True)
class Store(Place):
    """What one study remembers, in a folder or below a prefix of a bucket."""

    @staticmethod
    def open(uri: str | Path) -> Store:
        """The store at a path, or at the URI of an object store.

        Asks an object store for its bucket: a wrong name, missing credentials or a dead endpoint is
        a StoreError here and not in the middle of a study.
        """
        text = str(uri)
        if "://" not in text:
            path = Path(text).expanduser().absolute()
            return Store(str(path), LocalFiles(path, OWNER))
        from scaling.store.object_files import ObjectFiles

        files = ObjectFiles.open(text)
        try:
            files.reach()
        except OSError as error:
            raise StoreError(f"store {text!r} cannot be used: {error}") from error
        return Store(text, files)

    # the study

    def check_study(self, name: str) -> None:
        """StoreError if this is another study's store, or cannot be written to."""
        try:
            is_new = not self.exists(OWNER) and self.create(OWNER, json.dumps({"name": name}))
            raw = {"name": name} if is_new else self.read_json(OWNER)
        except OSError as error:
            raise StoreError(f"{self.uri} cannot be read and written: {error}") from error
        if not isinstance(raw, dict):
            raise self.broken(OWNER, "no JSON object")
        owner = raw.get("name")
        if owner != name:
            raise StoreError(
                f"{self.uri} is the store of the study {owner!r}, not of {name!r}. Give another"
                " --store."
            )

    def check_writable(self) -> None:
        """StoreError unless one of two writers of a file wins: before anything is paid for."""
        try:
            self.files.try_conditions(f"probe/{uuid.uuid4().hex[:12]}")
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
            content = {name: raw.get(name, {}) for name in ("models", "data", "revisions")}
            for entries in (*content["models"].values(), *content["data"].values()):
                if not all(isinstance(value, str) for value in entries.values()):
                    raise TypeError("an entry that is no text")
            return Lock(models=raw["models"], data=raw["data"], revisions=content["revisions"])
        except (KeyError, TypeError, AttributeError) as error:
            raise self.broken(LOCK, repr(error)) from error

    def write_lock(self, lock: Lock) -> None:
        """Write what staging resolved, with a digest over the whole of it."""
        self.write_json(
            LOCK, {"models": lock.models, "data": lock.data, "revisions": lock.revisions}
        )

    def read_sizes(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Task → `SPLIT.LANGUAGE` → (sequences, tokens), by staging; empty before it."""
        try:
            raw = self.read_json("sizes.json")
            return {
                task: {key: (int(a), int(b)) for key, (a, b) in keys.items()}
                for task, keys in raw.items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            if isinstance(error, StoreError):
                raise
            raise self.broken("sizes.json", repr(error)) from error

    # steps

    def scan(self) -> Scan:
        """Everything about all steps that file names tell, in one recursive listing."""
        done: set[str] = set()
        weights: set[str] = set()
        collapsed: set[str] = set()
        failures: dict[str, int] = {}
        num_bytes = 0
        for entry in self.entries(STEPS):
            name = entry.name
            inside = split_step(name)
            if inside is None:
                continue
            num_bytes += entry.size
            step, below = inside
            folder = StepFolder(step)
            if name == folder.record:
                done.add(step)
            elif name == folder.collapsed:
                collapsed.add(step)
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
            leases=self.leases(),
        )

    def leases(self) -> dict[str, Entry]:
        """Step → its lease, live or not, by one listing; this process watches them from now on."""
        found = {step_of_lease(entry.name): entry for entry in self.entries(LEASES)}
        for entry in found.values():
            self.watch(entry.name, entry.tag)
        return found

    def bytes_beside_steps(self) -> int:
        """Bytes of models, data, logs and all else that `scan` does not count."""
        tops = self.names("")
        folders = [top for top in tops if top.endswith("/") and top != f"{STEPS}/"]
        single = [self.look(top) for top in tops if not top.endswith("/")]
        found = sum(entry.size for entry in single if entry is not None)
        return found + sum(
            entry.size for folder in folders for entry in self.entries(folder.rstrip("/"))
        )

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
        self.delete_folder(folder.weights(attempt))

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
            return self.create(name, record.to_json()) is not None
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


def pause_after(took: float, least: float) -> float:
    """Seconds until a store is looked at again, after a look that took so many.

    At most a twentieth of the time goes into looking: a listing of a large store takes a while.
    """
    return max(least, 20 * took)
