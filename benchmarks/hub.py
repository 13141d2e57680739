"""`make bench-hub`: what is staged from the hub, what a look at it finds, and how fast it is.

One function a figure, each a generator of rows. `python -m benchmarks.hub NAME …` runs only the
functions of these names; the rows of the others stay in benchmarks/results/hub.json.
"""

from __future__ import annotations

import sys

from benchmarks.hub_languages import rows as languages
from benchmarks.hub_sources import FIGURES as SOURCES
from benchmarks.results_table import write_results

FIGURES = {**SOURCES, "languages": languages}


def main() -> None:
    chosen = sys.argv[1:] or list(FIGURES)
    for name in chosen:
        # Each at once: the next one takes minutes.
        write_results("hub", list(FIGURES[name]()), keep=True)


if __name__ == "__main__":
    main()
