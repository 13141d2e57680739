"""`make bench-right`: what is read, drawn, trained and decoded, against what it should be.

One function a figure, each a generator of rows. `python -m benchmarks.right NAME …` runs only the
functions of these names; the rows of the others stay in benchmarks/results/right.json.
"""

from __future__ import annotations

import sys

from benchmarks.results_table import write_results
from benchmarks.right_data import FIGURES as DATA
from benchmarks.right_training import FIGURES as TRAINING

FIGURES = {**DATA, **TRAINING}


def main() -> None:
    chosen = sys.argv[1:] or list(FIGURES)
    write_results("right", [row for name in chosen for row in FIGURES[name]()], keep=True)


if __name__ == "__main__":
    main()
