"""What a study asked before it had data: written into the store at the first run, never rewritten.

registered/0000.json   the question as it stood before the first record
registered/0001.json   a later change of it, with its time and the records there were by then
looks/HASH.json        one file per set of scores that a report or `scaling verdict` has shown

Seeds are registered as a maximum: a study that grows up to it has not changed its question, and
how often it was looked at on the way is counted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter, ValidationError

from scaling.spec import first_fault
from scaling.store.files import StoreError
from scaling.store.store import Store
from scaling.study.collapse import JUDGED_EXAMPLES, NEAR_GUESSING
from scaling.study.question import Question
from scaling.study.study import Study

SCHEMA_VERSION = 1
FOLDER, LOOKS = "registered", "looks"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One entry of the register."""

    at: str
    """UTC, ISO 8601."""
    records: int
    """Finished steps at that time."""
    asked: Mapping[str, Any]
    """`what_is_asked` of the study then."""
    sha256: str


_ENTRY = TypeAdapter(Registration)


def what_is_asked(study: Study) -> dict[str, Any]:
    """All that decides what the report will say, given the scores."""
    return {
        "question": study.question.model_dump(mode="json"),
        "collapse": {"judged_examples": JUDGED_EXAMPLES, "near_guessing": NEAR_GUESSING},
        "reruns": study.reruns,
        "models": sorted(study.models),
        "arms": sorted(arm.name for arm in study.arms),
        "targets": sorted(study.targets),
        "languages": None if study.languages is None else sorted(study.languages),
        "ceilings": {name: study.ceiling(name) for name in sorted(study.targets)},
        "most_seeds": _most_seeds(study),
    }


def _most_seeds(study: Study) -> int | dict[str, int]:
    """How many seeds each size has at most: one number where all have as many."""
    counts = {name: len(study.seeds_of(name)) for name in study.models}
    return counts if len({*counts.values()}) > 1 else len(study.all_seeds)


def register(study: Study, store: Store, num_records: int) -> None:
    """Write down what is asked, if it is not what was written down last.

    A study with fewer seeds than registered is on its way to them and writes nothing.
    """
    found = registrations(store)
    asked = what_is_asked(study)
    if found and not changes(found[-1].asked, asked):
        return
    entry = {
        "schema_version": SCHEMA_VERSION,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "records": num_records,
        "asked": asked,
        "sha256": _digest(asked),
    }
    # Another driver may register at the same moment: `create` lets one of them win.
    store.create(f"{FOLDER}/{len(found):04d}.json", json.dumps(entry, indent=1, sort_keys=True))


def registrations(store: Store) -> list[Registration]:
    """The register, oldest first; [] for stores from before there was one.

    StoreError names an entry that was edited or that this version cannot read.
    """
    out = []
    for name in sorted(_written(store, FOLDER)):
        place = f"{FOLDER}/{name}"
        raw = store.read_json(place)
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version != SCHEMA_VERSION:
            raise StoreError(
                f"{store.uri}/{place} has schema {version}, this code reads {SCHEMA_VERSION}"
            )
        try:
            entry = _ENTRY.validate_json(json.dumps(raw), strict=True)
        except ValidationError as error:
            raise store.broken(place, first_fault(error)) from error
        if version != SCHEMA_VERSION or _digest(entry.asked) != entry.sha256:
            raise store.broken(place, "it was edited after it was written: its hash does not fit")
        out.append(entry)
    return out


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs, one line each; fewer seeds than before are no change."""
    out = []
    for key in sorted(set(before) | set(after)):
        old, new = before.get(key), after.get(key)
        if key == "question" and isinstance(old, Mapping):
            # An entry from before a field was there asked what the field says by default.
            old = {**Question().model_dump(mode="json"), **old}
        if key == "most_seeds" and old is not None and new is not None:
            out += _more_seeds(before, after)
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            out += [
                f"{key}.{name} from {old.get(name)!r} to {new.get(name)!r}"
                for name in sorted(set(old) | set(new))
                if old.get(name) != new.get(name)
            ]
        elif old != new:
            out.append(f"{key} from {old!r} to {new!r}")
    return out


def _more_seeds(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Where there are more seeds than before."""
    old, new = before["most_seeds"], after["most_seeds"]
    if isinstance(old, int) and isinstance(new, int):
        return [f"most_seeds from {old} to {new}"] if new > old else []
    counts = [
        found if isinstance(found, Mapping) else dict.fromkeys(asked["models"], found)
        for found, asked in ((old, before), (new, after))
    ]
    return [
        f"most_seeds of {name} from {counts[0][name]} to {counts[1][name]}"
        for name in sorted(counts[0].keys() & counts[1].keys())
        if counts[1][name] > counts[0][name]
    ]


def look(store: Store, rows: bytes) -> int:
    """Count a report on these rows; how many different sets of rows have been looked at."""
    store.create(f"{LOOKS}/{hashlib.sha256(rows).hexdigest()[:16]}.json", "{}")
    return len(_written(store, LOOKS))


def _written(store: Store, folder: str) -> list[str]:
    """Names of the files of a folder."""
    return [name for name in store.names(folder) if not name.endswith("/")]


def sentences(study: Study, found: list[Registration], looks: int) -> list[str]:
    """What a report says about it."""
    if not found:
        return [
            "The question of this study was not registered before its data: the store is older than"
            " the register."
        ]
    first = found[0]
    out = [
        f"The question was registered at {first.at} with {first.records} records in the store"
        f" (SHA-256 {first.sha256[:12]}); the scores were looked at {looks}"
        f" time{'s' if looks != 1 else ''}."
    ]
    for before, after in pairwise(found):
        what = "; ".join(changes(before.asked, after.asked))
        out.append(f"Changed at {after.at}, after {after.records} records: {what}.")
    now = changes(found[-1].asked, what_is_asked(study))
    if now:
        out.append(f"Changed since, and not registered: {'; '.join(now)}.")
    return out


def _digest(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
