"""`make bench-users`: what people who use the project meet, by part.

One function a part, each gives rows. `python -m benchmarks.users NAME …` runs only the parts of
these names; the rows of the others stay in benchmarks/results/users.json.
"""

from __future__ import annotations

import sys

from benchmarks.results_table import write_results
from benchmarks.users_contact import PARTS as CONTACT
from benchmarks.users_page import PARTS as PAGE

PARTS = {**PAGE, **CONTACT}


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    met = True
    for name in chosen:
        rows = PARTS[name]()
        met &= all(bool(row["met"]) for row in rows)
        # Each at once: the next one takes minutes.
        write_results("users", rows, keep=True)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
