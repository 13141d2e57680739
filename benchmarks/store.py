"""`make bench-store`: whether a store on any storage is exact, and how much it asks for. In parts,
each of which runs alone:

    python -m benchmarks.store                        # all parts
    python -m benchmarks.store --part races,late      # some; the others' rows stay
    python -m benchmarks.store --part bulk --gigabytes 4

Everything is on loopback: moto's S3 server with a lock around its writes, azurite where AZURITE or
the PATH has it, a server of GCS' XML API of our own. Requests carry over to a real store, seconds
do not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.results_table import write_results
from benchmarks.store_bulk import bulk
from benchmarks.store_exact import faults, ignored, late, races
from benchmarks.store_requests import acts, continued, status

Row = dict[str, Any]


def kills(where: Path, studies: int) -> list[Row]:
    """Imports Ray and torch, which the other parts do without."""
    from benchmarks.store_kills import killed

    return killed(where, studies)


def main() -> None:
    parser = argparse.ArgumentParser(description="Exactness and requests of the store.")
    parser.add_argument("--part", default="", help="Names of parts, with commas.")
    parser.add_argument(
        "--parent", default="7c9002b", help="The commit before, for `status`; empty: none."
    )
    parser.add_argument(
        "--old-store", type=Path, help="A demo store that the parent commit began, for `layout`."
    )
    parser.add_argument("--keys", type=int, default=1000, help="Keys of a race.")
    parser.add_argument("--gigabytes", type=int, default=30, help="Of `bulk`.")
    parser.add_argument("--studies", type=int, default=10, help="Of `kills`, three kills each.")
    parser.add_argument("--dry", action="store_true", help="Print, write no results.")
    given = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "races": partial(races, keys=given.keys),
        "late": late,
        "faults": faults,
        "ignored": ignored,
        "acts": acts,
        "status": partial(status, parent=given.parent),
        "layout": partial(continued, old_store=given.old_store),
        "kills": partial(kills, studies=given.studies),
        "bulk": partial(bulk, gigabytes=given.gigabytes),
    }
    chosen = [name for name in given.part.split(",") if name] or list(parts)
    for name in chosen:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="store-", ignore_cleanup_errors=True) as folder:
            rows = parts[name](Path(folder))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        if given.dry:
            for row in rows:
                print(row)
        else:
            write_results("store", rows, keep=True)


if __name__ == "__main__":
    main()
