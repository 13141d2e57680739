"""Means of outcomes."""

from __future__ import annotations

import pytest

from scaling.kinds.metrics import aggregate


def test_no_score_is_invented_for_nothing() -> None:
    with pytest.raises(ValueError, match="empty test set"):
        aggregate([])
