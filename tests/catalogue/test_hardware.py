"""A placement shares a batch out, or says why not."""

from __future__ import annotations

import pytest

from scaling.catalogue.hardware import Placement


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"32 does not divide over 3 workers; choose workers among \[1, 2, 4"
    ):
        Placement(workers=3).share(32)
