"""`make bench-families`: every architecture against transformers, the planner and itself.

`make bench-families ARGS="PART …"` runs these parts, `PART:NAME,NAME` one of these architectures or
sizes only; the rows of all others stay in benchmarks/results/families.json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from transformers.utils import logging

from benchmarks.families_lines import PARTS as LINES
from benchmarks.families_parent import PARTS as PARENT
from benchmarks.families_shapes import PARTS as SHAPES
from benchmarks.families_states import PARTS as STATES
from benchmarks.families_studies import PARTS as STUDIES
from benchmarks.families_training import PARTS as TRAINING
from benchmarks.results_table import write_results
from benchmarks.round_trips import PARTS as ROUND_TRIPS

# Part → the rows of some of its names, or of all for none.
PARTS: dict[str, Callable[[Sequence[str]], Iterable[dict[str, Any]]]] = {
    **SHAPES,
    **STATES,
    **TRAINING,
    **PARENT,
    **LINES,
    **ROUND_TRIPS,
    **STUDIES,
}


def main() -> None:
    """Of the parts that are named, or of all; what a part found is kept before the next begins."""
    chosen = [one.partition(":") for one in sys.argv[1:] or PARTS]
    unknown = [part for part, _, _ in chosen if part not in PARTS]
    if unknown:
        raise SystemExit(f"no such part: {', '.join(unknown)}; valid: {', '.join(PARTS)}")
    # What tiny models lack of the classes with heads would fill the screen.
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for part, _, names in chosen:
        rows = list(PARTS[part](names.split(",") if names else ()))
        write_results("families", rows, keep=True)


if __name__ == "__main__":
    main()
