"""What files of a store may be called, and where those of a step lie.

Only names: nothing here reads or writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STEPS = "steps"
LEASES = "leases"
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
    """Store names of everything that belongs to one step."""

    step: str

    @property
    def name(self) -> str:
        """The folder itself."""
        return f"{STEPS}/{self.step}"

    @property
    def record(self) -> str:
        """Written last: the step is done if and only if this file exists."""
        return f"{self.name}/record.json"

    def history(self, owner: str) -> str:
        """A record that gave way to another one."""
        return f"{self.name}/history/{owner}.json"

    @property
    def collapsed(self) -> str:
        """Tells a listing that the training collapsed, so that a plan need not read its record."""
        return f"{self.name}/collapsed.json"

    @property
    def lease(self) -> str:
        """Who works on it."""
        return f"{LEASES}/{self.step}.json"

    @property
    def attempts(self) -> str:
        """Folder of the attempts."""
        return f"{self.name}/attempts"

    def attempt(self, owner: str) -> str:
        """Folder of what one try makes."""
        return f"{self.attempts}/{owner}"

    def weights(self, owner: str) -> str:
        """Folder of the weights that one try trained."""
        return f"{self.attempt(owner)}/weights"

    def weights_manifest(self, owner: str) -> str:
        """Written last of the weights: they are complete if and only if this file exists."""
        return f"{self.weights(owner)}/manifest.json"

    @property
    def resume(self) -> str:
        """Folder of the resume points."""
        return f"{self.name}/resume"

    @property
    def failures(self) -> str:
        """Folder of the notes on tries that failed."""
        return f"{self.name}/failures"

    def failure(self, owner: str) -> str:
        """Why one try ended."""
        return f"{self.failures}/{owner}.json"


def split_step(name: str) -> tuple[str, str] | None:
    """(step, name below its folder) of a file of a step; None for other files."""
    top, _, rest = name.partition("/")
    if top != STEPS:
        return None
    step, _, below = rest.partition("/")
    return step, below


def step_of_lease(name: str) -> str:
    """Whose lease a file of `LEASES` is."""
    return name.removeprefix(f"{LEASES}/").removesuffix(".json")
