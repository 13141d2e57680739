"""The curve of a training: what is known of its updates, as a small table."""

from __future__ import annotations

import math

import pyarrow as pa

from scaling.store.curves import SCHEMA
from scaling.study.recipes import Recipe
from scaling.training.loop import Losses, learning_rate

# Points of a long training: more than a screen shows, a few kilobytes.
MOST_POINTS = 500


def curve_of(losses: Losses, recipe: Recipe) -> pa.Table:
    """A point for every few updates, at most `MOST_POINTS`; the schema is the store's.

    Points lie at the same updates wherever a training was resumed. `recipe`: says the rate.
    """
    updates, trace = losses.updates, losses.trace
    stride = math.ceil(updates / MOST_POINTS)
    ends = [*range(stride, updates, stride), updates]
    rows = []
    for begin, end in zip([0, *ends], ends, strict=False):
        norms, seconds = trace.norms[begin:end], sum(trace.seconds[begin:end])
        rows.append(
            {
                "update": end,
                "loss": sum(losses.per_update[begin:end]) / (end - begin),
                "learning_rate": learning_rate(end - 1, updates, recipe),
                "gradient_norm": max(norms) if norms else None,
                "tokens_per_second": sum(trace.tokens[begin:end]) / seconds if seconds else None,
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)
