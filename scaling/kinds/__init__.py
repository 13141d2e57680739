"""One file per kind of task: rows → token features, features → loss, hidden states → outcomes →
scores.
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
