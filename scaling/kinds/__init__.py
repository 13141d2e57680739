"""One file per kind of task: rows → token features, features → loss, hidden states → scores."""

from __future__ import annotations

from scaling.kinds.classification import CLASSIFICATION
from scaling.kinds.kind import Kind
from scaling.kinds.retrieval import RETRIEVAL

KINDS: dict[str, Kind] = {"classification": CLASSIFICATION, "retrieval": RETRIEVAL}
