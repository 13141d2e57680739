"""The choices of a question stay together, and the softmax is over them alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scaling.catalogue.task import Key
from scaling.data.batching import micro_batches
from scaling.data.features import as_features
from scaling.data.order import training_order
from scaling.kinds import KINDS
from scaling.kinds.kind import Part
from tests.helpers.making import recipe, table, task, tokenizer

KIND = KINDS["multiple_choice"]
MC = task("multiple_choice", "accuracy")


def rows(count: int = 12) -> list[dict[str, object]]:
    return [
        {
            "id": str(at),
            "context": "The station opened .",
            "question": "Who was first ?",
            "choices": ["Ada", "Brown", "Leeds", "1907"][: 2 + at % 3],
            "label": at % 2,
        }
        for at in range(count)
    ]


def test_micro_batches_never_part_the_choices_of_a_question() -> None:
    features = as_features(
        KIND.encode(table("multiple_choice", rows()), MC, tokenizer(), recipe(MC)), None
    )
    given = recipe(MC, batch=4, epochs=2.0)
    for update in training_order(features.num_units, given, 0):
        seen = []
        for rank in (0, 1):
            for chosen in micro_batches(update, features, 1, 64, rank, 2):
                units = features.units[chosen]
                assert len(set(units)) == 1 and len(chosen) == 2 + int(units[0]) % 3
                seen.append(int(units[0]))
        assert sorted(seen) == sorted(update.tolist())


class Given(torch.nn.Module):
    """A head that knows the scores."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self.scores = torch.tensor(scores)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.scores.unsqueeze(1)


def test_loss_is_a_softmax_over_each_questions_choices() -> None:
    scores = [1.0, 2.0, 0.5, -1.0, 3.0]
    loss = KIND.loss(
        Given(scores),
        torch.zeros(5, 1, 1),
        torch.ones(5, 1),
        KIND.targets([0, 3, 1, 2, 4], 1),
        torch.tensor([4, 4, 9, 9, 9]),
    )
    first, second = np.exp(scores[:2]), np.exp(scores[2:])
    assert float(loss) == pytest.approx(
        -np.log(first[1] / first.sum()) - np.log(second[0] / second.sum()), rel=1e-6
    )


def test_a_question_that_occurs_twice_in_an_update_counts_twice() -> None:
    def loss(times: int) -> float:
        hidden, mask = torch.zeros(2 * times, 1, 1), torch.ones(2 * times, 1)
        targets, units = KIND.targets([0, 3] * times, 1), torch.tensor([4, 4] * times)
        return float(KIND.loss(Given([1.0, 2.0] * times), hidden, mask, targets, units))

    assert loss(2) == pytest.approx(2 * loss(1))


def test_choices_are_scored_by_row_and_chance_knows_their_number() -> None:
    some = table("multiple_choice", rows(3))
    features = KIND.encode(some, MC, tokenizer(), recipe(MC))
    predictions = [np.array([float(value)]) for value in (0, 1, 5, 2, 9, 1, 0, 0, 3)]
    part = Part(key=Key("test", "en"), rows=some, features=features, predictions=predictions)
    outcomes = KIND.outcomes(part, MC)
    assert outcomes["prediction"].to_pylist() == ["1", "2", "3"]
    assert outcomes["accuracy"].to_pylist() == [0.0, 0.0, 0.0]
    assert KIND.chance(part, MC) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_a_label_beyond_the_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="row '0': label 7 of 2 choices"):
        KIND.encode(
            table("multiple_choice", [{**rows()[0], "label": 7}]), MC, tokenizer(), recipe(MC)
        )
