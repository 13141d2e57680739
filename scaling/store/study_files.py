"""What a store says of its study: whose it is, in which layout, and what staging resolved."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from scaling.spec import first_fault
from scaling.store.files import StoreError
from scaling.store.layout_one import STEPS, live_old_steps, old_steps
from scaling.store.paths import PROBE
from scaling.store.place import Place, whole_json
from scaling.study.identity import Lock

LOCK = "lock.json"
OWNER = "study.json"
LAYOUT = 2
_Counts = (
    tuple[NonNegativeInt, NonNegativeInt] | tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
)
_SIZES: TypeAdapter[dict[str, dict[str, _Counts]]] = TypeAdapter(dict[str, dict[str, _Counts]])


@dataclass(frozen=True)
class StudyFiles(Place):
    """Files of one study."""

    _layouts: list[bool] = field(default_factory=list, repr=False, compare=False)
    """Whether a part lies in layout 1, once that is known."""
    _locks: list[str] = field(default_factory=list, repr=False, compare=False)
    """Tag of the lock file as it was last seen here; "" where there was none."""

    @property
    def has_old(self) -> bool:
        """Whether a part of the store may lie in layout 1, as its study.json says."""
        if not self._layouts:
            try:
                self._note_layout(self._read_owner())
            except FileNotFoundError:
                # Nothing was begun here, yet.
                return False
        return self._layouts[0]

    def _read_owner(self) -> dict[str, Any]:
        raw = self.read_json(OWNER)
        if not isinstance(raw, dict) or not isinstance(raw.get("study", raw.get("name")), str):
            raise self.broken(OWNER, "no study's name")
        layout = raw.get("layout", 1)
        if layout not in (1, LAYOUT):
            raise StoreError(
                f"{self.uri} has the layout {layout!r}, this version reads 1 and {LAYOUT}: take"
                " the version that made it, or another --store"
            )
        return raw

    def _note_layout(self, raw: dict[str, Any]) -> None:
        self._layouts[:] = [raw.get("layout", 1) == 1 or raw.get("begun_in_layout", LAYOUT) == 1]

    def is_of(self, name: str) -> bool:
        """Whether this is the store of a study, read alone: False where there is none yet.

        StoreError if it is another study's.
        """
        try:
            raw = self._read_owner()
        except FileNotFoundError:
            return False
        self._check_name(raw, name)
        self._note_layout(raw)
        return True

    def check_study(self, name: str) -> None:
        """Make this the store of a study, before anything is written into it.

        StoreError if it is another study's, if it cannot be written to, or if code that knows
        layout 1 alone works on it. Such code refuses the store from then on.
        """
        try:
            begun = _owner(name, begun_in=LAYOUT)
            if not self.exists(OWNER) and self.create(OWNER, json.dumps(begun)):
                raw: dict[str, Any] = begun
            else:
                raw = self._read_owner()
                self._check_name(raw, name)
                if "layout" not in raw:
                    raw = self._begin_layout(name)
        except OSError as error:
            raise StoreError(f"{self.uri} cannot be read and written: {error}") from error
        self._note_layout(raw)

    def _check_name(self, raw: dict[str, Any], name: str) -> None:
        owner = raw.get("study", raw.get("name"))
        if owner != name:
            raise StoreError(
                f"{self.uri} is the store of the study {owner!r}, not of {name!r}. Give another"
                " --store."
            )

    def _begin_layout(self, name: str) -> dict[str, Any]:
        """Have new work of a store of layout 1 written in layout 2; what study.json then says."""
        content = self.read_tagged(OWNER)
        begun = _owner(name, begun_in=1)
        # Of two who do this at once, either wrote what both want.
        self.replace(OWNER, json.dumps(begun), content.tag)
        now = self.written_at(OWNER) or datetime.now(UTC)
        working = live_old_steps(old_steps(self.entries(STEPS)).leases, now)
        if working:
            self.write(OWNER, content.body)
            raise StoreError(
                f"{self.uri}: an older version of this project works on {working[0]}. Wait until"
                " it ends, or end it and wait a minute"
            )
        return begun

    def check_writable(self) -> None:
        """StoreError unless one of two writers of a file wins: before anything is paid for."""
        try:
            self.files.try_conditions(f"{PROBE}/{uuid.uuid4().hex[:12]}")
        except OSError as error:
            raise StoreError(f"{self.uri} cannot be written to: {error}") from error

    def read_lock(self) -> Lock:
        """What staging resolved; an empty lock before it.

        StoreError for one that is no lock, or not the one that was written. Of stores from before
        locks had a digest only the form is checked.
        """
        try:
            content = self.read_tagged(LOCK)
        except FileNotFoundError:
            self._locks[:] = [""]
            return Lock()
        self._locks[:] = [content.tag]
        raw = self.parse_json(LOCK, content.body)
        try:
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
        """Write what staging resolved, with a digest over the whole of it.

        StoreError if somebody else wrote one since `read_lock` was asked here.
        """
        if not self._locks:
            self.read_lock()
        content = {"models": lock.models, "data": lock.data, "revisions": lock.revisions}
        whole, before = whole_json(content), self._locks[0]
        tag = self.replace(LOCK, whole, before) if before else self.create(LOCK, whole)
        if tag is None:
            raise StoreError(
                f"{self.uri}/{LOCK} was written by somebody else meanwhile: run it again"
            )
        self._locks[:] = [tag]

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


def _owner(name: str, *, begun_in: int) -> dict[str, Any]:
    """What study.json says. Code of layout 1 reads `name`, and refuses the store by it."""
    return {
        "name": f"{name} (layout {LAYOUT}, which needs a newer version of this project)",
        "study": name,
        "layout": LAYOUT,
        "begun_in_layout": begun_in,
    }
