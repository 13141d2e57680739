"""The rows of a finished run of the shipped study `demo`, for a report without any run.

`make example` writes them from a store (benchmarks/example.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STUDY = "demo"
ROWS = Path(__file__).parent / "studies" / "demo_rows.parquet"
# Keys of the file's own metadata.
COMMIT, DAY, MACHINE = "commit", "day", "machine"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """How the rows came about."""

    commit: str
    """Of the code that computed them."""
    day: str
    """On which the last of them was, ISO 8601."""
    machine: str

    @property
    def sentence(self) -> str:
        """What the report of them says before any number."""
        return (
            f"An example: these are the scores of a run of the shipped study {STUDY} that came"
            f" with this package. They were computed by commit {self.commit} until {self.day} on"
            f" {self.machine}; nothing was trained here. Outcomes of single examples did not come"
            " with them."
        )


def origin_of_rows() -> Origin:
    """How the shipped rows came about."""
    import pyarrow.parquet as pq

    said = pq.read_schema(ROWS).metadata
    commit, day, machine = (said[key.encode()].decode() for key in (COMMIT, DAY, MACHINE))
    return Origin(commit=commit, day=day, machine=machine)
