"""Where the files of a step lie in a store. Only names: nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass

STEPS = "steps"


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

    @property
    def collapsed(self) -> str:
        """Tells a listing that the training collapsed, so that a plan need not read its record."""
        return f"{self.name}/collapsed.json"

    @property
    def leases(self) -> str:
        """Folder of the leases."""
        return f"{self.name}/leases"

    def lease(self, owner: str) -> str:
        """The claim of one owner."""
        return f"{self.leases}/{owner}.json"

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
    """(step, name below its folder) of a file of a step; None for files of no step."""
    top, _, rest = name.partition("/")
    if top != STEPS:
        return None
    step, _, below = rest.partition("/")
    return step, below


def lease_owner(below: str) -> str | None:
    """Whose lease a file is, by its name below the step's folder; None if it is no lease."""
    folder, _, name = below.partition("/")
    # A hidden file is a lease that is being written.
    if folder != "leases" or not name.endswith(".json") or name.startswith("."):
        return None
    return name.removesuffix(".json")
