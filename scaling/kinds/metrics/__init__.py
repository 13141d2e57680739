"""Scores, equal to the official scorers: predictions, references, language → outcomes.

    outcomes = METRICS["squad1"](predictions, references, "th")  # one per example, to be stored
    aggregate(outcomes)  # {"f1": 0.79, "exact_match": 0.66, …}: the main score comes first

A metric is one function. To add one, write it (see labels.py for the shortest) and name it here.
"""

from __future__ import annotations

from scaling.kinds.metrics.answers import mlqa, squad1, squad2
from scaling.kinds.metrics.labels import accuracy, tag_f1
from scaling.kinds.metrics.mining import mining_f1
from scaling.kinds.metrics.outcomes import Metric, Outcome, aggregate
from scaling.kinds.metrics.ranking import map_at_20
from scaling.kinds.metrics.tags import span_f1

METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "span_f1": span_f1,
    "tag_f1": tag_f1,
    "squad1": squad1,
    "squad2": squad2,
    "mlqa": mlqa,
    "map_at_20": map_at_20,
    "mining_f1": mining_f1,
}

__all__ = ["METRICS", "Metric", "Outcome", "aggregate"]
