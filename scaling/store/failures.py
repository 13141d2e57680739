"""Why tries of steps ended: notes in the store, which outlive who wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scaling.store.files import StoreError
from scaling.store.layout_one import OldFolder
from scaling.store.paths import StepFolder
from scaling.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One try that ended."""

    at: str
    """UTC, ISO 8601, by the clock of who noted it; `?` if nobody can say."""
    error: str
    is_final: bool
    """Whether the same would happen again: bad data, damaged files, a loss that is no number."""
    noted_at: datetime
    """By the store's own clock."""

    def __str__(self) -> str:
        return f"{self.at}  {self.error}"


def note_failure(store: Store, step: str, owner: str, reason: Mapping[str, Any]) -> None:
    """Note why a try ended.

    Args:
        store: Of the study.
        step: Id of the step.
        owner: Who tried.
        reason: `error`, `at`, and `final` where a second try would end alike.
    """
    store.write(StepFolder(step).failure(owner), json.dumps(dict(reason), indent=1))


def failures_of(store: Store, step: str) -> list[Failure]:
    """Every try of a step that ended, oldest first. A note that cannot be read says so."""
    found = []
    notes = store.entries(StepFolder(step).failures)
    if store.has_old:
        notes += store.entries(OldFolder(step).failures)
    for entry in sorted(notes, key=lambda entry: entry.at):
        try:
            raw = store.read_json(entry.name)
            note = dict(raw)
        except (OSError, StoreError, TypeError, ValueError) as error:
            note = {"error": f"a note that cannot be read: {error}"}
        found.append(
            Failure(
                at=str(note.get("at", "?")),
                error=str(note.get("error", "?")),
                is_final=note.get("final") is True,
                noted_at=entry.at,
            )
        )
    return found
