"""The same examples in the same updates, whatever the hardware."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.batching import ahead, micro_batches, scoring_batches, sequences_of
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.study.mixture import num_updates
from scaling.study.recipes import Recipe
from tests.helpers.features import made

LONGEST = 20


@settings(max_examples=100, deadline=None)
@given(
    num=st.integers(1, 60),
    epochs=st.floats(0.5, 4),
    seed=st.integers(0, 5),
    per_unit=st.sampled_from([1, 3]),
    layout=st.sampled_from([(1, 8), (1, 4), (1, 3), (2, 4), (2, 2), (4, 1), (4, 2), (8, 1)]),
    together=st.sampled_from([1, 2]),
)
def test_every_layout_sees_the_same_global_batches_within_its_tokens(
    num: int, epochs: float, seed: int, per_unit: int, layout: tuple[int, int], together: int
) -> None:
    features, recipe = made(num, seed, per_unit), Recipe(batch=8, epochs=epochs)
    workers, micro = layout
    order = training_order(features, recipe, seed)
    assert len(order) == num_updates(num, recipe)
    if workers > 8 // together:
        with pytest.raises(
            ValueError, match="8 examples in blocks of 2 do not give each of 8 workers one"
        ):
            micro_batches(order[0], features, 1, LONGEST, 0, workers, together)
        return
    for update in order:
        shares = [
            micro_batches(update, features, micro * LONGEST, LONGEST, rank, workers, together)
            for rank in range(workers)
        ]
        # Every rank makes as many passes, which ZeRO-3 waits for.
        assert len({len(share) for share in shares}) == 1 and shares[0]
        passes = [one for share in shares for one in share]
        seen = sorted(index for one in passes for index in one)
        assert seen == sorted(unit * per_unit + part for unit in update for part in range(per_unit))
        whole = [
            sequences_of(update[start : start + together], features)
            for start in range(0, 8, together)
        ]
        size = per_unit * together
        for one in passes:
            # What belongs together is there whole, and in its order.
            assert all(one[start : start + size] in whole for start in range(0, len(one), size))
            longest = max(len(features.input_ids[index]) for index in one)
            assert len(one) == size or len(one) * longest <= micro * LONGEST


def test_short_texts_share_a_pass() -> None:
    lengths = [4, 4, 4, 4, 4, 4, 4, 20]
    features = Features(
        input_ids=[np.full(length, 5) for length in lengths],
        targets=[0] * 8,
        units=np.arange(8),
        cut=0,
    )
    # Room for two of the longest: one pass of seven short texts, and the long one alone.
    assert micro_batches(np.arange(8), features, 2 * LONGEST, LONGEST, 0, 1) == [
        [0, 1, 2, 3, 4, 5, 6],
        [7],
    ]
    # Two workers make one pass each, and neither waits for more than it must.
    assert micro_batches(np.arange(8), features, 2 * LONGEST, LONGEST, 1, 2) == [[7]]
    assert micro_batches(np.arange(8), features, 8 * LONGEST, LONGEST, 0, 1) == [list(range(8))]


def test_what_is_made_ahead_comes_in_order_and_its_errors_too() -> None:
    made_so_far = []

    def make(number: int) -> int:
        made_so_far.append(number)
        if number == 5:
            raise RuntimeError("of number 5")
        return number * number

    assert list(ahead(make, 4, 2)) == [4, 9] and made_so_far == [2, 3]
    assert list(ahead(make, 3, 3)) == []
    with pytest.raises(RuntimeError, match="of number 5"):
        list(ahead(make, 8, 3))


@given(num=st.integers(1, 80), budget=st.integers(1, 200))
def test_scoring_covers_everything_once_longest_first(num: int, budget: int) -> None:
    features = made(num)
    batches = list(scoring_batches(features, budget))
    assert sorted(index for batch in batches for index in batch) == list(range(num))
    longest = [max(len(features.input_ids[index]) for index in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)
    assert all(
        len(batch) == 1 or len(batch) * top <= budget
        for batch, top in zip(batches, longest, strict=True)
    )
