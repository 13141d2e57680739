"""What files of a store may be called, and where those of a step lie: layout 2.

Only names: nothing here reads or writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RECORDS, HISTORY, COLLAPSED = "records", "history", "collapsed"
LEASES, FAILURES, RESUME = "leases", "failures", "resume"
ATTEMPTS, WEIGHTS = "attempts", "weights"
PROBE = "probe"
"""Folder of files that ask whether the store can be written to, and for its time."""
# Has a lease as a step does, and is none: who stages into the store.
STAGING = "staging"

_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,200}")


def is_inside(name: str) -> bool:
    """Whether a name, divided by /, stays inside the folder that it is joined to."""
    return not (any(part in ("", ".", "..") for part in name.split("/")) or _UNSAFE.search(name))


def is_part(name: str) -> bool:
    """Whether a name is one part of a path: what a step or an attempt that is read is called."""
    return "/" not in name and is_inside(name)


def is_plain(name: str) -> bool:
    """Whether a step or an owner may be called so when it is made: letters, digits and `_.+-`.

    It begins with a letter, a digit or `_` and has 201 of them at most.

    What an older version or another program called otherwise is still read.
    """
    return _PLAIN.fullmatch(name) is not None


def is_sha256(text: object) -> bool:
    """Whether this is a hex digest, which may become the name of a file."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


@dataclass(frozen=True)
class StepFolder:
    """Store names of everything that belongs to one step.

    What many steps have one of lies in one folder, so that one short listing shows it for all.
    """

    step: str

    @property
    def record(self) -> str:
        """Written last: the step is done if and only if this file exists."""
        return f"{RECORDS}/{self.step}.json"

    def history(self, owner: str) -> str:
        """A record that gave way to another one."""
        return f"{HISTORY}/{self.step}/{owner}.json"

    @property
    def collapsed(self) -> str:
        """Tells a listing that the training collapsed, so that a plan need not read its record."""
        return f"{COLLAPSED}/{self.step}.json"

    @property
    def lease(self) -> str:
        """Who works on it."""
        return f"{LEASES}/{self.step}.json"

    @property
    def attempts(self) -> str:
        """Folder of the attempts."""
        return f"{ATTEMPTS}/{self.step}"

    def attempt(self, owner: str) -> str:
        """Folder of what one try makes."""
        return f"{self.attempts}/{owner}"

    def weights(self, owner: str) -> str:
        """Folder of the weights that one try trained."""
        return f"{self.attempt(owner)}/weights"

    def weights_manifest(self, owner: str) -> str:
        """Written last of the weights: they are complete if and only if this file exists."""
        return f"{WEIGHTS}/{self.step}/{owner}.json"

    @property
    def resume(self) -> str:
        """Folder of the resume points."""
        return f"{RESUME}/{self.step}"

    @property
    def failures(self) -> str:
        """Folder of the notes on tries that failed."""
        return f"{FAILURES}/{self.step}"

    def failure(self, owner: str) -> str:
        """Why one try ended."""
        return f"{self.failures}/{owner}.json"


def step_in(name: str) -> str:
    """Whose file this is, of those of `StepFolder`."""
    return name.split("/")[1].removesuffix(".json")
