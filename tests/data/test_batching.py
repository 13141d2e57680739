"""The same examples in the same updates, whatever the hardware."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.batching import ahead, collate, micro_batches, scoring_batches, sequences_of
from scaling.data.features import Features
from scaling.data.order import training_order
from scaling.kinds import KINDS
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
    worth=st.sampled_from([0.0, 10.0, math.inf]),
)
def test_every_layout_sees_the_same_global_batches_within_its_tokens(
    num: int,
    epochs: float,
    seed: int,
    per_unit: int,
    layout: tuple[int, int],
    together: int,
    worth: float,
) -> None:
    features, recipe = made(num, seed, per_unit), Recipe(batch=8, epochs=epochs)
    workers, micro = layout
    order = training_order(features.num_units, recipe, seed)
    assert len(order) == num_updates(num, recipe)
    for update in order:
        shares = [
            micro_batches(
                update, features, micro * LONGEST, LONGEST, rank, workers, together, worth
            )
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
        for turn in zip(*shares, strict=True):
            # What belongs together is computed at the same time, and in its order.
            ranks = [[index for one in turn for index in one]] if together > 1 else turn
            assert all(
                one[start : start + size] in whole
                for one in ranks
                for start in range(0, len(one), size)
            )
            assert together == 1 or len({len(one) for one in turn}) == 1
        least = per_unit * (math.lcm(together, workers) // workers if together > 1 else 1)
        for one in passes:
            longest = max(len(features.input_ids[index]) for index in one)
            assert len(one) == least or len(one) * longest <= micro * LONGEST


def test_what_does_not_give_each_rank_as_many_is_refused() -> None:
    wrong = "8 examples in blocks of 2 do not give each of 3 workers as many"
    with pytest.raises(ValueError, match=wrong):
        micro_batches(np.arange(8), made(8), 1, LONGEST, 0, 3, 2)
    with pytest.raises(ValueError, match="8 examples in blocks of 1 do not give each of 9"):
        micro_batches(np.arange(8), made(8), 1, LONGEST, 0, 9)


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


def test_an_update_is_cut_where_that_saves_more_than_a_pass_costs() -> None:
    lengths = [4, 4, 4, 4, 4, 4, 4, 20]
    features = Features(
        input_ids=[np.full(length, 5) for length in lengths],
        targets=[0] * 8,
        units=np.arange(8),
        cut=0,
    )

    def passes(pass_tokens: float, workers: int = 1, rank: int = 0) -> list[list[int]]:
        return micro_batches(
            np.arange(8),
            features,
            8 * LONGEST,
            LONGEST,
            rank,
            workers,
            pass_tokens=pass_tokens,
        )

    # One pass pads 7 texts by 16 tokens each.
    assert passes(7 * 16 + 1) == [list(range(8))]
    assert passes(7 * 16 - 1) == [[0, 1, 2, 3, 4, 5, 6], [7]]
    # Two ranks make one pass each already: more would save nothing.
    assert passes(1, workers=2) == [[0, 1, 2, 3, 4, 5, 6]]
    assert passes(1, workers=2, rank=1) == [[7]]


def test_passes_by_length_leave_little_padding_of_a_random_order() -> None:
    features, recipe = made(400), Recipe(batch=32, epochs=1)
    padded = {0.0: 0, 8.0: 0, math.inf: 0}
    tokens = 0
    for update in training_order(features.num_units, recipe, 0):
        tokens += sum(len(features.input_ids[index]) for index in update)
        for worth in padded:
            passes = micro_batches(update, features, 32 * LONGEST, LONGEST, 0, 1, pass_tokens=worth)
            batches = [collate(features, KINDS["classification"], one) for one in passes]
            padded[worth] += sum(batch.input_ids.numel() for batch in batches)
    assert padded[0.0] < 1.12 * tokens < 1.3 * tokens < 1.5 * tokens < padded[math.inf]
    assert padded[0.0] <= padded[8.0] < 1.3 * tokens


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
