"""Kinds of task: rows → token features, features → loss, hidden states → outcomes → scores.

    kind.py             what a kind provides; forms that all kinds share
    heads.py            heads and what they are made of
    text.py             token sequences of one text or two
    classification.py   a label for a text or a pair
    multiple_choice.py  one of several choices
    tagging.py          a tag for every word
    span_qa.py          an answer inside a document
    retrieval.py        the nearest of many candidates
    masked_lm.py        hidden words of a text
    metrics/            scores, equal to the official scorers

May import `spec`, `catalogue` and `study`.
"""

from __future__ import annotations

from scaling.kinds.classification import CLASSIFICATION
from scaling.kinds.kind import Kind
from scaling.kinds.masked_lm import MASKED_LM
from scaling.kinds.multiple_choice import MULTIPLE_CHOICE
from scaling.kinds.retrieval import RETRIEVAL
from scaling.kinds.span_qa import SPAN_QA
from scaling.kinds.tagging import TAGGING

KINDS: dict[str, Kind] = {
    "classification": CLASSIFICATION,
    "multiple_choice": MULTIPLE_CHOICE,
    "tagging": TAGGING,
    "span_qa": SPAN_QA,
    "retrieval": RETRIEVAL,
    "masked_lm": MASKED_LM,
}
