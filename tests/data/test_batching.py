"""The same examples in the same updates, whatever the hardware."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.batching import (
    Features,
    ahead,
    collate,
    micro_batches,
    num_updates,
    scoring_batches,
    sequences_of,
    training_order,
)
from scaling.hardware import Placement
from scaling.kinds import KINDS
from scaling.recipes import Recipe


def made(num: int, seed: int = 0, per_unit: int = 1) -> Features:
    rng = np.random.default_rng(seed)
    return Features(
        input_ids=[rng.integers(4, 90, rng.integers(3, 20)) for _ in range(num * per_unit)],
        targets=[0] * (num * per_unit),
        units=np.repeat(np.arange(num), per_unit),
        cut=0,
    )


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


@given(num=st.integers(1, 50), epochs=st.integers(1, 3))
def test_every_example_is_seen_once_an_epoch(num: int, epochs: int) -> None:
    order = np.concatenate(training_order(made(num), Recipe(batch=4, epochs=epochs), 1))
    counts = np.bincount(order, minlength=num)
    # The last update is topped up from the next epoch.
    assert counts.min() >= epochs
    assert counts.sum() - epochs * num < 4


@given(num=st.integers(8, 50), epochs=st.integers(1, 4), seed=st.integers(0, 3))
def test_no_update_holds_an_example_twice(num: int, epochs: int, seed: int) -> None:
    for update in training_order(made(num), Recipe(batch=8, epochs=epochs), seed):
        assert len(set(update.tolist())) == 8


def test_order_depends_on_the_seed_alone() -> None:
    features, recipe = made(40), Recipe(batch=8)
    first, again, other = (
        np.concatenate(training_order(features, recipe, seed)) for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_sorting_by_length_leaves_little_padding() -> None:
    features, recipe = made(400), Recipe(batch=8, epochs=1)
    tokens = padded = 0
    for update in training_order(features, recipe, 0):
        (chosen,) = micro_batches(update, features, 8 * LONGEST, LONGEST, 0, 1)
        batch = collate(features, KINDS["classification"], chosen)
        tokens += batch.tokens
        padded += batch.input_ids.numel()
    assert padded / tokens < 1.1


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


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"32 does not divide over 3 workers; choose workers among \[1, 2, 4"
    ):
        Placement(workers=3).share(32)
