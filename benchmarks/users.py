"""`make bench-users`: what people who use the project meet, by part.

One function a part, each gives rows. `python -m benchmarks.users NAME …` runs only the parts of
these names; the rows of the others stay in benchmarks/results/users.json. What a run says of itself
needs stores of runs that are over: each is given as STUDY=STORE (`make bench-users
ARGS="demo=runs/demo"`), is read and never written, and alone asks for this part alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.results_table import write_results
from benchmarks.users_contact import LONG
from benchmarks.users_contact import PARTS as CONTACT
from benchmarks.users_page import PARTS as PAGE
from benchmarks.users_running import rows_of, stored_run

PARTS = {**PAGE, **CONTACT}


def parts(words: Sequence[str]) -> list[Callable[[], list[dict[str, Any]]]]:
    """What the words of the command line ask for; every part but those of hours without any."""
    unknown = [word for word in words if "=" not in word and word not in {**PARTS, **LONG}]
    if unknown:
        known = ", ".join([*PARTS, *LONG])
        raise SystemExit(f"no part {', '.join(unknown)}; there are {known}, and STUDY=STORE")
    runs = [word.split("=", 1) for word in words if "=" in word]
    chosen = [{**PARTS, **LONG}[word] for word in words if "=" not in word]
    if runs:
        chosen.append(lambda: rows_of([stored_run(study, store) for study, store in runs]))
    return chosen or list(PARTS.values())


def main() -> int:
    met = True
    for part in parts(sys.argv[1:]):
        rows = part()
        met &= all(bool(row["met"]) for row in rows)
        # Each at once: the next one takes minutes.
        write_results("users", rows, keep=True)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
