"""The order of a training is random at every size of data, whatever the lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.order import sampled_order, training_order
from scaling.study.mixture import num_updates
from scaling.study.recipes import Recipe

BATCH = 32


def meeting_again(order: list[np.ndarray], num_units: int) -> float:
    """Of the pairs that share an update of the first epoch, how many share one of the second, over
    what chance gives.
    """
    epoch = num_units // BATCH
    second = np.full(num_units, -1)
    for at, update in enumerate(order[epoch : 2 * epoch]):
        second[update] = at
    met, pairs = 0, 0
    for update in order[:epoch]:
        places = second[update]
        places = places[places >= 0]
        pairs += len(places) * (len(places) - 1)
        met += int((places[:, None] == places[None]).sum()) - len(places)
    return met / pairs / ((BATCH - 1) / (num_units - 1))


@pytest.mark.parametrize("num_units", [96, 416, 1600, 10_016, 100_000])
def test_pairs_of_an_update_meet_again_as_chance_has_it(num_units: int) -> None:
    seeds = range(20 if num_units < 1000 else 2)
    recipe = Recipe(batch=BATCH, epochs=2)
    found = [meeting_again(training_order(num_units, recipe, seed), num_units) for seed in seeds]
    assert 0.8 < np.mean(found) < 1.2


def test_languages_that_are_sampled_are_mixed_at_random_too() -> None:
    sizes = [300, 80, 20]
    epochs = [
        meeting_again(sampled_order(sizes, 1.0, 2 * 12, BATCH, seed), 400) for seed in range(20)
    ]
    # Units repeat only once all of their language have come: not the epochs of one language.
    assert 0.6 < np.mean(epochs) < 1.4
    order = sampled_order(sizes, 0.5, 30, BATCH, 0)
    assert [len(update) for update in order] == [BATCH] * 30
    with pytest.raises(ValueError, match="a language without an example"):
        sampled_order([3, 0], 0.3, 1, 2, 0)


def token_weights(order: list[np.ndarray], lengths: np.ndarray) -> np.ndarray:
    """Mean weight of a token by the quarter of sentences, by length, that it stands in; 1 is the
    mean of all.
    """
    weight = np.zeros(len(lengths))
    for update in order:
        weight[update] += 1 / lengths[update].sum()
    quarters = np.array_split(np.argsort(lengths, kind="stable"), 4)
    mean = (weight * lengths).sum() / lengths.sum()
    return np.array(
        [(weight[own] * lengths[own]).sum() / lengths[own].sum() / mean for own in quarters]
    )


@pytest.mark.parametrize("num_units", [400, 3200])
def test_a_token_counts_as_much_in_a_short_sentence_as_in_a_random_order(num_units: int) -> None:
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(20), 0.7, num_units), 1, 126).astype(int)
    recipe = Recipe(batch=BATCH, epochs=4)
    own, chance = [], []
    for seed in range(4):
        own.append(token_weights(training_order(num_units, recipe, seed), lengths))
        drawn = [rng.permutation(num_units)[: num_units // BATCH * BATCH] for _ in range(4)]
        updates = np.concatenate(drawn).reshape(-1, BATCH)
        chance.append(token_weights(list(updates), lengths))
    assert np.abs(np.mean(own, 0) / np.mean(chance, 0) - 1).max() < 0.05
    # Updates of one length, as a control: the shortest quarter would count for more than twice.
    by_length = list(np.argsort(lengths)[: num_units // BATCH * BATCH].reshape(-1, BATCH))
    assert token_weights(by_length, lengths)[0] > 2


@given(num=st.integers(1, 50), epochs=st.integers(1, 3))
def test_every_example_is_seen_once_an_epoch(num: int, epochs: int) -> None:
    order = np.concatenate(training_order(num, Recipe(batch=4, epochs=epochs), 1))
    counts = np.bincount(order, minlength=num)
    # The last update is topped up from the next epoch.
    assert counts.min() >= epochs
    assert counts.sum() - epochs * num < 4


@given(num=st.integers(8, 50), epochs=st.integers(1, 4), seed=st.integers(0, 3))
def test_no_update_holds_an_example_twice(num: int, epochs: int, seed: int) -> None:
    for update in training_order(num, Recipe(batch=8, epochs=epochs), seed):
        assert len(set(update.tolist())) == 8


def test_order_depends_on_the_seed_alone() -> None:
    recipe = Recipe(batch=8)
    first, again, other = (np.concatenate(training_order(40, recipe, seed)) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_nothing_to_train_on_is_an_error_and_no_endless_loop() -> None:
    recipe = Recipe(batch=4)
    assert num_updates(0, recipe) == 1
    with pytest.raises(ValueError, match="no example can train"):
        training_order(0, recipe, 0)
