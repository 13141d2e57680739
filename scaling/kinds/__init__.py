"""One file per kind of task. A kind turns rows into token features, features into a loss, and hidden states into scores."""

from __future__ import annotations

from scaling.kinds.classification import CLASSIFICATION
from scaling.kinds.kind import Kind
from scaling.kinds.retrieval import RETRIEVAL

KINDS: dict[str, Kind] = {"classification": CLASSIFICATION, "retrieval": RETRIEVAL}
