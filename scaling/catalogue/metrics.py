"""Metrics by name, as data: which kinds of task they can score. The functions are in kinds/metrics.

A metric of another kind would give a number without a word: accuracy of a tagged sentence, for
example, looks at its first tag alone.
"""

from __future__ import annotations

from scaling.catalogue.readers import KindName

METRIC_KINDS: dict[str, tuple[KindName, ...]] = {
    "accuracy": ("classification", "multiple_choice", "retrieval"),
    "span_f1": ("tagging",),
    "tag_f1": ("tagging", "masked_lm"),
    "squad1": ("span_qa",),
    "squad2": ("span_qa",),
    "mlqa": ("span_qa",),
    "map_at_20": ("retrieval",),
    "mining_f1": ("retrieval",),
}

MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
"""Languages whose articles MLQA's scorer knows."""
