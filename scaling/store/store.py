"""Where a study lives: a folder, or a prefix of a bucket. The store is the truth. Layout 2:

study.json  lock.json                whose store this is; what staging resolved
models/NAME/  data/TASK/  tokens/    staged weights, normalised rows, token features
records/STEP.json                    written last: the step is done if and only if it exists
history/STEP/OWNER.json              a record that gave way to one whose weights were made again
collapsed/STEP.json                  marks a training that collapsed
attempts/STEP/OWNER/                 files of one try; the record names the one that counts
weights/STEP/OWNER.json              says that the trained weights of a try are whole
leases/STEP.json                     who works on it, with heartbeat and progress (leases.py)
resume/STEP/                         where a step stands in its middle
failures/STEP/OWNER-RANK.json        why a try ended
index.json.gz                        a cache of records and sessions (index.py)

What a store of layout 1 has of steps is read in place (layout_one.py), and new work is written so.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from scaling.store.files import Entry, StoreError, checked
from scaling.store.index import Index
from scaling.store.layout_one import STEPS, OldFolder, OldSteps, old_steps
from scaling.store.local_files import LocalFiles
from scaling.store.object_files import ObjectFiles
from scaling.store.paths import (
    COLLAPSED,
    FAILURES,
    LEASES,
    RECORDS,
    STAGING,
    WEIGHTS,
    StepFolder,
    step_in,
)
from scaling.store.place import plain_name
from scaling.store.records import CorruptRecord, StepRecord
from scaling.store.study_files import OWNER, StudyFiles

# An earlier listing may be so old for those who look again and again.
LOOK_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One look at all steps: what exists, without a request per step."""

    done: frozenset[str]
    weights: frozenset[str]
    """Steps with complete weights in some attempt: all that a listing can tell."""
    collapsed: frozenset[str] = frozenset()
    """Finished trainings that collapsed by the English-dev rule."""
    leases: Mapping[str, Entry]
    """Step → its lease, live or not."""
    failures: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class _Look:
    at: float
    """By this process's own clock."""
    scan: Scan
    records: Mapping[str, Entry]
    """By step."""


@dataclass(frozen=True)
class Store(StudyFiles):
    """What one study remembers, in a folder or below a prefix of a bucket."""

    _parsed: dict[str, tuple[str, StepRecord]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """File → its text and the record that it is."""
    _old_attempts: set[str] = field(default_factory=set, repr=False, compare=False)
    """Attempts whose records lie in layout 1."""
    _looks: list[_Look] = field(default_factory=list, repr=False, compare=False)
    """The last look at all steps."""
    _indexes: list[Index] = field(default_factory=list, repr=False, compare=False)

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
        files = ObjectFiles.at(text)
        try:
            files.reach()
        except OSError as error:
            raise StoreError(f"store {text!r} cannot be used: {error}") from error
        return Store(text, files)

    @property
    def index(self) -> Index:
        """What this process has read of records and sessions."""
        if not self._indexes:
            self._indexes.append(Index(self))
        return self._indexes[0]

    # all steps

    def scan(self, *, max_age: float = 0.0) -> Scan:
        """Everything about all steps that file names tell.

        `max_age`: on an object store the result may be an earlier one of so many seconds ago, if no
        lease came or went since. Its leases are always as they are now.
        """
        # Leases first: of a step whose lease is seen no more, the record is seen.
        leases = self.leases()
        if self._looks and self.local is None:
            last = self._looks[0]
            is_fresh = time.monotonic() - last.at <= max_age
            if is_fresh and last.scan.leases.keys() == leases.keys():
                return replace(last.scan, leases=leases)
        began = time.monotonic()
        folders = [RECORDS, WEIGHTS, COLLAPSED, FAILURES, *([STEPS] if self.has_old else [])]
        with ThreadPoolExecutor(len(folders)) as pool:
            records, weights, collapsed, failures, *old = pool.map(self.entries, folders)
        before = old_steps(old[0] if old else [])
        found = {**before.records, **{step_in(entry.name): entry for entry in records}}
        scan = Scan(
            done=frozenset(found),
            weights=before.weights | {step_in(entry.name) for entry in weights},
            collapsed=(before.collapsed | {step_in(entry.name) for entry in collapsed})
            & found.keys(),
            leases=leases,
            failures=Counter(step_in(entry.name) for entry in failures) + Counter(before.failures),
        )
        # At once: another thread may look too.
        self._looks[:] = [_Look(at=began, scan=scan, records=found)]
        return scan

    def leases(self) -> dict[str, Entry]:
        """Step → its lease, live or not, by one listing; this process watches them from now on."""
        found = {step_in(entry.name): entry for entry in self.entries(LEASES)}
        for entry in found.values():
            self.watch(entry.name, entry.tag)
        return {step: entry for step, entry in found.items() if step != STAGING}

    def old_steps(self) -> OldSteps:
        """What lies in layout 1; nothing of a store that was begun in layout 2."""
        return old_steps(self.entries(STEPS) if self.has_old else [])

    def records(self, steps: Iterable[str]) -> dict[str, StepRecord]:
        """Records of finished steps. What was read before and has not changed is not read again."""
        steps = list(steps)
        if not self._looks or not self._looks[0].records.keys() >= set(steps):
            self.scan()
        found = self._looks[0].records
        texts = self.index.texts(found[step] for step in steps if step in found)
        return {
            step: self._parse(step, found[step].name, texts[found[step].name])
            if step in found and found[step].name in texts
            else self.record(step)
            for step in steps
        }

    # one step

    def record(self, step: str) -> StepRecord:
        """The record of a finished step; CorruptRecord names the file if it cannot be trusted."""
        name, text, _ = self._read_record(step)
        return self._parse(step, name, text)

    def record_text(self, step: str) -> str:
        """The record of a finished step as it was written."""
        return self._read_record(step)[1]

    def _read_record(self, step: str) -> tuple[str, str, str]:
        """Name, text and tag of a record; FileNotFoundError where there is none."""
        name = StepFolder(checked(step)).record
        try:
            content = self.read_tagged(name)
        except FileNotFoundError:
            if not self.has_old:
                raise
            name = OldFolder(step).record
            content = self.read_tagged(name)
        return name, content.body.decode(errors="replace"), content.tag

    def _parse(self, step: str, name: str, text: str) -> StepRecord:
        before, known = self._parsed.get(name, ("", None))
        if known is not None and before == text:
            return known
        place = f"{self.uri}/{name}"
        record = StepRecord.from_json(text, place)
        if record.step != step:
            raise CorruptRecord(
                f"{place} is the record of {record.step}. Delete it to run the step again."
            )
        if name == OldFolder(step).record:
            self._old_attempts.add(record.provenance.attempt)
        self._parsed[name] = text, record
        return record

    def is_done(self, step: str) -> bool:
        """Whether a step has a record."""
        return self.exists(StepFolder(step).record) or (
            self.has_old and self.exists(OldFolder(step).record)
        )

    def counting_attempt(self, step: str) -> str | None:
        """The attempt whose files count; None of a step that is not done."""
        try:
            return self.record(step).provenance.attempt
        except FileNotFoundError:
            return None

    def folder_of(self, record: StepRecord) -> StepFolder | OldFolder:
        """Where the files of the attempt lie that a record of this store names."""
        is_old = record.provenance.attempt in self._old_attempts
        return OldFolder(record.step) if is_old else StepFolder(record.step)

    def has_weights(self, record: StepRecord) -> bool:
        """Whether the weights that a record speaks of are there, whole."""
        return self.exists(self.folder_of(record).weights_manifest(record.provenance.attempt))

    def delete_weights(self, record: StepRecord) -> None:
        """Delete the weights of a finished training; its record stays."""
        folder, attempt = self.folder_of(record), record.provenance.attempt
        # First what says that they are whole, so that a deletion cut short leaves no half of them.
        self.delete(folder.weights_manifest(attempt))
        self.delete_folder(folder.weights(attempt))

    def delete_attempt(self, step: str, owner: str) -> None:
        """Delete what one try of a step made, its record not among it."""
        folder = StepFolder(step)
        self.delete(folder.weights_manifest(owner))
        self.delete_folder(folder.attempt(owner))

    def read_file(self, record: StepRecord, file: str) -> bytes:
        """A small file of the attempt that counts, such as the outcomes of a scoring.

        StoreError if it is not what the record says.
        """
        folder = self.folder_of(record)
        name = f"{folder.attempt(record.provenance.attempt)}/{file}"
        try:
            content = self.read(name)
        except FileNotFoundError:
            content = None
        found = "missing" if content is None else hashlib.sha256(content).hexdigest()
        if content is None or found != record.files.get(file):
            raise StoreError(
                f"{self.uri}/{name}: SHA-256 is {found}, recorded was {record.files.get(file)}."
                f" Delete {folder.record} to run the step again."
            )
        return content

    def commit(self, record: StepRecord, replacing: str | None = None) -> bool:
        """Write a record: the last act of a step; whether it is the one that counts from now on.

        A step that is already done keeps its record. Only the record of the attempt `replacing`,
        whose weights were deleted and had to be made again, may be written over.
        """
        folder = StepFolder(plain_name(record.step))
        plain_name(record.provenance.attempt)
        if replacing is None:
            # What lies in layout 1 was there before anybody wrote layout 2.
            if self.has_old and self.exists(OldFolder(record.step).record):
                return False
            return self.create(folder.record, record.to_json()) is not None
        name, text, tag = self._read_record(record.step)
        before = self._parse(record.step, name, text)
        if before.provenance.attempt != replacing:
            return False
        self.write(folder.history(replacing), before.to_json())
        provenance = replace(record.provenance, replaces=replacing)
        whole = replace(record, provenance=provenance).to_json()
        if name == folder.record:
            return self.replace(name, whole, tag) is not None
        return self.create(folder.record, whole) is not None

    def mark_collapse(self, record: StepRecord) -> None:
        """Let a listing tell whether a training collapsed, before its record is there."""
        if record.training is None:
            return
        name = StepFolder(record.step).collapsed
        if record.training.collapsed:
            self.write(name, json.dumps({"attempt": record.provenance.attempt}))
            return
        self.delete(name)
        if self.has_old:
            self.delete(OldFolder(record.step).collapsed)


def pause_after(took: float, least: float) -> float:
    """Seconds until a store is looked at again, after a look that took so many.

    At most a twentieth of the time goes into looking: a listing of a large store takes a while.
    """
    return max(least, 20 * took)
