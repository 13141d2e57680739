"""Features of random tokens."""

from __future__ import annotations

import numpy as np

from scaling.data.features import Features


def made(num: int, seed: int = 0, per_unit: int = 1) -> Features:
    """`num` units of `per_unit` sequences, of 3 to 19 tokens each."""
    rng = np.random.default_rng(seed)
    return Features(
        input_ids=[rng.integers(4, 90, rng.integers(3, 20)) for _ in range(num * per_unit)],
        targets=[0] * (num * per_unit),
        units=np.repeat(np.arange(num), per_unit),
        cut=0,
    )
