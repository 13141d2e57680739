"""Where layout 1 had the files of a step: in a folder of its own. They are read in place, for ever.

steps/ID/record.json                 written last: the step is done if and only if it exists
steps/ID/attempts/OWNER/             files of one try; the record names the one that counts
steps/ID/leases/OWNER.json           who worked on it
steps/ID/failures/OWNER.json         why a try ended
steps/ID/history/OWNER.json          a record that gave way to another one

Nothing new is written there, so that code that knows layout 1 alone must not run on the same store:
`Store.check_study` sees to that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from scaling.store.files import Entry

STEPS = "steps"
CLOCK = "clock"
"""Folder of files that asked the store for its time."""
# Code of layout 1 showed life every five seconds.
_EXPIRY = timedelta(seconds=60)


@dataclass(frozen=True)
class OldFolder:
    """Store names of what belongs to one step, as in `StepFolder`."""

    step: str

    @property
    def name(self) -> str:
        """The folder itself."""
        return f"{STEPS}/{self.step}"

    @property
    def record(self) -> str:
        """As in `StepFolder`."""
        return f"{self.name}/record.json"

    def history(self, owner: str) -> str:
        """As in `StepFolder`."""
        return f"{self.name}/history/{owner}.json"

    @property
    def collapsed(self) -> str:
        """As in `StepFolder`."""
        return f"{self.name}/collapsed.json"

    @property
    def attempts(self) -> str:
        """As in `StepFolder`."""
        return f"{self.name}/attempts"

    def attempt(self, owner: str) -> str:
        """As in `StepFolder`."""
        return f"{self.attempts}/{owner}"

    def weights(self, owner: str) -> str:
        """As in `StepFolder`."""
        return f"{self.attempt(owner)}/weights"

    def weights_manifest(self, owner: str) -> str:
        """As in `StepFolder`."""
        return f"{self.weights(owner)}/manifest.json"

    @property
    def resume(self) -> str:
        """As in `StepFolder`; no longer resumed from."""
        return f"{self.name}/resume"

    @property
    def failures(self) -> str:
        """As in `StepFolder`."""
        return f"{self.name}/failures"


@dataclass(frozen=True, kw_only=True)
class OldSteps:
    """What a listing of `STEPS` shows."""

    records: Mapping[str, Entry]
    """By step."""
    weights: frozenset[str]
    """Steps with complete weights in some attempt."""
    collapsed: frozenset[str]
    """Steps that are marked so."""
    failures: Mapping[str, int]
    """Step → notes."""
    leases: tuple[Entry, ...]


def old_steps(entries: Iterable[Entry]) -> OldSteps:
    """What these files are. Markers that stand for empty folders are none of them."""
    records: dict[str, Entry] = {}
    weights, collapsed, leases = set[str](), set[str](), list[Entry]()
    failures: Counter[str] = Counter()
    for entry in entries:
        match entry.name.split("/")[1:]:
            case [step, "record.json"]:
                records[step] = entry
            case [step, "collapsed.json"]:
                collapsed.add(step)
            case [step, "failures", _]:
                failures[step] += 1
            case [_, "leases", file] if file.endswith(".json"):
                leases.append(entry)
            case [step, "attempts", _, "weights", "manifest.json"]:
                weights.add(step)
    return OldSteps(
        records=records,
        weights=frozenset(weights),
        collapsed=frozenset(collapsed),
        failures=failures,
        leases=tuple(leases),
    )


def old_step(name: str) -> str:
    """Whose file this is, of those below `STEPS`."""
    return name.split("/")[1]


def live_old_steps(leases: Iterable[Entry], now: datetime) -> list[str]:
    """Steps that code of layout 1 works on now; `now` by the store's own clock."""
    return sorted({old_step(lease.name) for lease in leases if now - lease.at <= _EXPIRY})
