"""When a training has collapsed, by its own record alone: what decides that it is run again.

A rule that looked at other runs would make what is run depend on what else was run, and a seed's
fate on its neighbours. So only the run's own English dev score decides here, against numbers that
are fixed; what siblings say labels a run in the analysis (analysis/collapse.py), and no more.
"""

from __future__ import annotations

import math

JUDGED_EXAMPLES = 500
"""Fewer English dev examples than this cannot tell a weak run from a collapsed one: of 60 examples
a healthy run with a true accuracy of .60 is within two standard errors of guessing in 65 %."""
NEAR_GUESSING = 0.05
"""A run that covered less than this share of the way from guessing to 1 has collapsed. It makes the
rule work where guessing scores nothing (F1 of spans and tags): two standard errors of 0 are 0."""


def has_collapsed(score: float, chance: float, num_examples: int) -> bool:
    """Whether an English dev score (0..1) is no better than guessing.

    By two standard errors or by `NEAR_GUESSING`; False below `JUDGED_EXAMPLES`: not judged.
    """
    if num_examples < JUDGED_EXAMPLES:
        return False
    error = math.sqrt(chance * (1 - chance) / num_examples)
    return score <= chance + max(2 * error, NEAR_GUESSING * (1 - chance))
