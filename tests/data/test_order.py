"""Every example once an epoch, in an order of the seed, with texts of a length together."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.batching import collate, micro_batches
from scaling.data.order import training_order
from scaling.kinds import KINDS
from scaling.study.recipes import Recipe
from tests.helpers.features import made

LONGEST = 20


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
